package cmd_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/leatdev/leat/cmd"
	"github.com/leatdev/leat/pipeline/porttest"

	_ "github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	_ "github.com/leatdev/leat/pipeline/eventstore/memory"
	_ "github.com/leatdev/leat/pipeline/eventstore/sqlite"
	_ "github.com/leatdev/leat/sinks/file"
	_ "github.com/leatdev/leat/sinks/stdout"
	_ "github.com/leatdev/leat/sources/file"
	_ "github.com/leatdev/leat/sources/putevents"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"leat": func() { os.Exit(cmd.Main()) }})
}

// TestScripts runs every file of testdata/script: each command as a user types it, with good and bad input.
func TestScripts(t *testing.T) {
	repo, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("LEAT_DATA", "")
			env.Setenv("LEAT_SERVER", "")
			env.Setenv("NO_COLOR", "")
			env.Setenv("REPO", repo)
			// Built with the race detector, each command would sleep for a second before it ends.
			env.Setenv("GORACE", "atexit_sleep_ms=10")
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond != "aws" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			_, err := exec.LookPath("aws")
			if err != nil && strings.Contains(os.Getenv("LEAT_TEST_REQUIRE"), "aws") {
				return false, errors.New("LEAT_TEST_REQUIRE wants the AWS CLI, and it is not installed")
			}
			return err == nil, nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "freeport": freePort, "await": await, "terminate": terminate, "get": get,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// exits runs a command that must end with an exit code: exits 2 leat run nothing.yaml.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// freePort sets a variable to a loopback address that nobody listens at: freeport ADDR.
func freePort(ts *testscript.TestScript, _ bool, args []string) {
	addr, release, err := porttest.Take()
	ts.Check(err)
	ts.Defer(release)
	ts.Setenv(args[0], addr)
}

// terminate sends SIGTERM to what runs in the background.
func terminate(ts *testscript.TestScript, _ bool, _ []string) {
	for _, c := range ts.BackgroundCmds() {
		ts.Check(c.Process.Signal(syscall.SIGTERM))
	}
}

// get writes what a path of a daemon answers to stdout: get $ADDR /metrics.
func get(ts *testscript.TestScript, _ bool, args []string) {
	res, err := http.Get("http://" + args[0] + args[1])
	ts.Check(err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		ts.Fatalf("%s: %s", args[1], res.Status)
	}
	_, err = io.Copy(ts.Stdout(), res.Body)
	ts.Check(err)
}

// await asks a path of a daemon that was started in the background until it answers 200: await $ADDR /readyz.
func await(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		res, err := http.Get("http://" + args[0] + args[1])
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-deadline:
			ts.Fatalf("%s%s: no 200 within a minute: %v", args[0], args[1], err)
		case <-tick.C:
		}
	}
}
