package cmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/check"
)

// checkListener looks at the address that the daemon will listen at.
func (a *app) checkListener(ctx context.Context, cfg *config.Config) []check.Finding {
	address := cfg.Server.Listen
	var needed []string
	for _, p := range cfg.Pipelines {
		if listens(p.Source.Plugin.Name) {
			needed = append(needed, p.Name)
		}
	}
	if address == "off" || address == "" {
		if len(needed) > 0 {
			return []check.Finding{check.Problemf("it is off, and %s takes events at it", list(needed)).With("set server.listen")}
		}
		return []check.Finding{check.Okf("it is off: there are no probes and no metrics")}
	}
	var found []check.Finding
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		found = append(found, check.Okf("%s is free", l.Addr()))
		if err := l.Close(); err != nil {
			found = append(found, check.Error("close "+address, err))
		}
	case errors.Is(err, syscall.EADDRINUSE) && a.leatAt(ctx, address):
		found = append(found, check.Okf("a leat is running at %s", address))
	case errors.Is(err, syscall.EADDRINUSE):
		found = append(found, check.Problemf("%s is taken by another process", address).With("set server.listen, or run with --listen ADDRESS"))
	case errors.Is(err, syscall.EACCES):
		found = append(found, check.Problemf("this user may not listen at %s", address).With("take a port above 1023"))
	default:
		found = append(found, check.Problemf("%v", err))
	}
	if !cfg.Server.Auth.Required() && len(needed) > 0 {
		found = append(found, check.Okf("only this machine reaches it; %s takes events there", list(needed)))
	}
	return found
}

// leatAt reports whether a leat answers at an address.
func (a *app) leatAt(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	return res.StatusCode == http.StatusOK
}

// leastFiles is how many open files a daemon with a busy listener may need.
const leastFiles = 1024

// checkProcess looks at what this process may use.
func (a *app) checkProcess(cfg *config.Config) []check.Finding {
	var found []check.Finding
	if n, ok := openFiles(); ok {
		if n < leastFiles {
			found = append(found, check.Warnf("it may open %d files", n).With("raise the limit to %d or more (ulimit -n, LimitNOFILE=)", leastFiles))
		} else {
			found = append(found, check.Okf("it may open %d files", n))
		}
	}
	found = append(found, checkMemory(cfg, containerMemory(os.ReadFile), debug.SetMemoryLimit(-1)))
	if now := a.now(); now.Year() < 2025 {
		found = append(found, check.Problemf("the clock says %s", now.Format(time.RFC3339)).With("set the clock"))
	}
	return found
}

// unlimited is Go's memory limit where none is set.
const unlimited = 1<<63 - 1

// checkMemory compares what the pipelines may hold with what there is. Container is 0 where there is no limit.
func checkMemory(cfg *config.Config, container, limit int64) check.Finding {
	var held int64
	for _, p := range cfg.Pipelines {
		held += int64(p.Limits.Bytes)
	}
	// Beside what is in flight there are the program, the store's caches and the collector's room.
	need := 64<<20 + 2*held
	switch {
	case container == 0 && limit == unlimited:
		return check.Okf("there is no memory limit; %s of events may be in flight", mebibytes(held))
	case container == 0:
		return check.Okf("Go's memory limit is %s; %s of events may be in flight", mebibytes(limit), mebibytes(held))
	case container < need:
		return check.Problemf("the container has %s, and with %s of events in flight about %s are wanted", mebibytes(container), mebibytes(held), mebibytes(need)).
			With("give it more, or lower limits.bytes of the pipelines")
	case limit == unlimited:
		return check.Warnf("the container has %s, and Go does not know it", mebibytes(container)).With("set GOMEMLIMIT=%dMiB, so that it collects in time", container*9/10>>20)
	case limit > container:
		return check.Problemf("Go's memory limit is %s, and the container has only %s", mebibytes(limit), mebibytes(container)).With("set GOMEMLIMIT=%dMiB", container*9/10>>20)
	}
	return check.Okf("the container has %s, Go's limit is %s, %s of events may be in flight", mebibytes(container), mebibytes(limit), mebibytes(held))
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

// containerMemory gives the memory limit of the container that this process runs in, 0 where there is none. It knows
// cgroups of both versions.
func containerMemory(read func(string) ([]byte, error)) int64 {
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := read(path)
		if err != nil {
			continue
		}
		// Version 1 writes "no limit" as a number beyond any machine.
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 && n < 1<<60 {
			return n
		}
	}
	return 0
}
