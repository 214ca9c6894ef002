package report

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed" // the page's template and style
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"regexp"

	"weir/bench/measure"
)

//go:embed page.html
var pageText string

//go:embed page.css
var styleText string

// embedLimit is how large the data may be, packed, to be put into the page.
const embedLimit = 1 << 20

// Write draws r as one page of HTML. It fails when w does, or when r can't be
// written as JSON.
func Write(w io.Writer, r measure.Report) error {
	v, err := viewOf(r)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	t, err := template.New("page").Funcs(template.FuncMap{"inc": func(i int) int { return i + 1 }}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	var page bytes.Buffer
	if err := t.Execute(&page, v); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if _, err := w.Write(indentation.ReplaceAll(page.Bytes(), []byte("\n"))); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// A template's blank lines would be a fifth of the page.
var indentation = regexp.MustCompile(`\n\s*\n`)

// data is the whole run as it goes into the page.
type data struct {
	SHA256 string       // of results.json
	KiB    int          // of results.json
	Packed template.URL // empty: too large
}

func dataOf(r measure.Report) (data, error) {
	var text, packed bytes.Buffer
	if err := measure.WriteJSON(&text, r); err != nil {
		return data{}, err
	}
	d := data{SHA256: fmt.Sprintf("%x", sha256.Sum256(text.Bytes())), KiB: (text.Len() + 1023) / 1024}
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(text.Bytes()); err != nil {
		return data{}, err
	}
	if err := z.Close(); err != nil {
		return data{}, err
	}
	if packed.Len() <= embedLimit {
		d.Packed = template.URL("data:application/gzip;base64," + base64.StdEncoding.EncodeToString(packed.Bytes()))
	}
	return d, nil
}
