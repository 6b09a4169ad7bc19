package cmd

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/check"
)

func TestCheckMemory(t *testing.T) {
	const mib = 1 << 20
	cfg := &config.Config{Pipelines: []*config.Pipeline{{Limits: config.Limits{Bytes: 16 * mib}}}}
	for _, tt := range []struct {
		container, limit int64
		want             check.Severity
		mend             string
	}{
		{0, unlimited, check.OK, ""},
		{0, 100 * mib, check.OK, ""},
		{256 * mib, unlimited, check.Warning, "set GOMEMLIMIT=230MiB, so that it collects in time"},
		{256 * mib, 230 * mib, check.OK, ""},
		{256 * mib, 512 * mib, check.Problem, "set GOMEMLIMIT=230MiB"},
		{64 * mib, 60 * mib, check.Problem, "give it more, or lower limits.bytes of the pipelines"},
	} {
		if got := checkMemory(cfg, tt.container, tt.limit); got.Severity != tt.want || got.Mend != tt.mend {
			t.Errorf("container %d, limit %d: %+v, want %s with %q", tt.container, tt.limit, got, tt.want, tt.mend)
		}
	}
}

func TestContainerMemory(t *testing.T) {
	const v1, v2 = "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"
	for _, tt := range []struct {
		path, text string
		want       int64
	}{
		{v2, "268435456\n", 268435456},
		{v2, "max\n", 0},
		{v1, "134217728\n", 134217728},
		{v1, "9223372036854771712\n", 0},
		{"", "", 0},
	} {
		got := containerMemory(func(path string) ([]byte, error) {
			if path == tt.path {
				return []byte(tt.text), nil
			}
			return nil, os.ErrNotExist
		})
		if got != tt.want {
			t.Errorf("%s %q: %d, want %d", tt.path, tt.text, got, tt.want)
		}
	}
}

func TestCheckThatHangsOrPanics(t *testing.T) {
	hung := make(chan struct{})
	defer close(hung)
	got := within(t.Context(), time.Millisecond, func(context.Context) []check.Finding { <-hung; return nil })
	if len(got) != 1 || got[0].Severity != check.Unreachable || got[0].What != "no answer within 1ms" {
		t.Errorf("hanging: %+v", got)
	}
	got = within(t.Context(), time.Minute, func(context.Context) []check.Finding { panic("oh") })
	if len(got) != 1 || got[0].Severity != check.Problem {
		t.Errorf("panicking: %+v", got)
	}
	got = within(t.Context(), time.Minute, func(ctx context.Context) []check.Finding { return []check.Finding{check.Okf("fine")} })
	if len(got) != 1 || got[0].Severity != check.OK {
		t.Errorf("fine: %+v", got)
	}
}
