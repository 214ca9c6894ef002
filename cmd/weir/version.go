package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Set by the linker (-X main.version=...); empty in a plain go build, which then knows its revision by itself.
var version, commit, date string

// buildInfo is which build this is.
type buildInfo struct {
	Version, Commit, Date string
	Go, Platform          string
}

func thisVersion() buildInfo {
	v := buildInfo{
		Version: version, Commit: commit, Date: date,
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		info = new(debug.BuildInfo)
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && v.Commit == "":
			v.Commit = s.Value
		case s.Key == "vcs.time" && v.Date == "":
			v.Date = s.Value
		}
	}
	unknown := func(s *string, what string) {
		if *s == "" {
			*s = what
		}
	}
	unknown(&v.Version, "devel")
	unknown(&v.Commit, "unknown")
	unknown(&v.Date, "unknown")
	return v
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:                   "version",
		Short:                 "Say which build this is",
		Long:                  "Version prints the version, the commit and its date, the Go version and the platform.",
		Example:               "  weir version",
		DisableFlagsInUseLine: true,

		Args: flagsOnly,
		Run: func(cmd *cobra.Command, _ []string) {
			v := thisVersion()
			cmd.Printf("weir %s\ncommit   %s\ndate     %s\ngo       %s\nplatform %s\n", v.Version, v.Commit, v.Date, v.Go, v.Platform)
		},
	}
}
