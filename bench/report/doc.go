// Package report draws a run's figures as one page of HTML that needs nothing
// else: no network, no script, no other file. It can be read from a disk, on a
// phone, in the dark and on paper.
//
// [Write] takes a [measure.Report]. The page has a matrix of all workloads and
// contenders, a plot of every round for each workload, the samples behind each
// plot, the configurations, and the whole run as data. It judges nothing by
// itself: medians, ratios and verdicts are those of the report's Summary. The
// same report gives the same bytes.
//
// The plots are drawn by gonum.org/v1/plot as SVG. Their colours are replaced by
// CSS variables, so that one drawing serves light and dark, and every text says
// its own length, so that another font than the one it was set in doesn't upset
// the layout.
//
// State: none; Write may be called from several goroutines. Layer: bench,
// imports measure and the generators' results.
package report
