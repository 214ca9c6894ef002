package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"weir/bench/measure"
)

// programs are those of the run: the paths that were given, and for the rest
// where measure.Installed says they are. What is of this module and wasn't given
// is built, where these contenders need it; nil stands for all. The isolated
// copy, which has no network to get modules from, finds everything built.
func programs(ctx context.Context, given measure.Binaries, contenders []string, errs io.Writer) (measure.Binaries, error) {
	needs := func(names ...string) bool {
		return contenders == nil || slices.ContainsFunc(names, func(n string) bool { return slices.Contains(contenders, n) })
	}
	relays := needs("gnet", "go", "c")
	buildLoad, buildWeir := given.Load == "", given.Weir == "" && needs(measure.Weir)
	if !buildLoad && !buildWeir && !relays {
		return filled(given, measure.Installed("bin")), nil
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return given, err
	}
	bin := filepath.Join(root, "bin")
	b := filled(given, measure.Installed(bin))
	if measure.Isolated() {
		return b, nil
	}
	fmt.Fprintln(errs, "building into", bin)
	if buildLoad {
		err = goBuild(ctx, root, b.Load, "./bench/cmd/load")
	}
	if buildWeir {
		err = errors.Join(err, goBuild(ctx, root, b.Weir, "./cmd/weir"))
	}
	if relays {
		err = errors.Join(err, measure.BuildRelays(ctx, root, bin))
	}
	return b, err
}

// filled is given, and where it says nothing what is installed.
func filled(given, installed measure.Binaries) measure.Binaries {
	for _, p := range []struct{ to, from *string }{
		{&given.Load, &installed.Load}, {&given.Weir, &installed.Weir},
		{&given.HAProxy, &installed.HAProxy}, {&given.NGINX, &installed.NGINX}, {&given.Envoy, &installed.Envoy},
		{&given.Gnet, &installed.Gnet}, {&given.Go, &installed.Go}, {&given.C, &installed.C},
	} {
		if *p.to == "" {
			*p.to = *p.from
		}
	}
	return given
}

// moduleRoot is the folder of the module that the run takes place in.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	file := strings.TrimSpace(string(out))
	if err != nil || filepath.Base(file) != "go.mod" {
		return "", errors.Join(errors.New("not in weir's module: change there, or give -load and -weir and leave out gnet, go and c"), err)
	}
	return filepath.Dir(file), nil
}

// goBuild builds as the Makefile does: static, with the version that git knows.
func goBuild(ctx context.Context, root, path, pkg string) error {
	flags := "-s -w"
	for name, args := range map[string][]string{
		"version": {"describe", "--tags", "--always", "--dirty"},
		"commit":  {"rev-parse", "HEAD"},
		"date":    {"log", "-1", "--format=%cI"},
	} {
		git := exec.CommandContext(ctx, "git", args...)
		git.Dir = root
		if out, err := git.Output(); err == nil && pkg == "./cmd/weir" {
			flags += " -X main." + name + "=" + strings.TrimSpace(string(out))
		}
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", flags, "-o", path, pkg)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}
