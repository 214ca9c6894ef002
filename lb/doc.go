// Package lb chooses endpoints.
package lb
