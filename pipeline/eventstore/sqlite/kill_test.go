package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/sqlite"
	"github.com/leatdev/leat/pipeline/race"
)

const killDir = "LEAT_TEST_KILL_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		if err := appendForEver(dir, os.Getenv(killDir+"_ROUND")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if race.Enabled { // the driver is some ten times slower then
		flag.Parse()
		_ = flag.Set("rapid.checks", "15")
	}
	os.Exit(m.Run())
}

// appendForEver is the child: four writers append to streams that they share, and print the id of what was answered.
func appendForEver(dir, round string) error {
	if round[len(round)-1]%2 == 0 {
		sqlite.ShortTail(func(func()) {})
	}
	s, err := sqlite.Open(context.Background(), sqlite.Config{Dir: dir})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for w := range errs {
		wg.Go(func() {
			for c := 0; ; c++ {
				var units []*eventstore.Unit
				for k := range 1 + c%4 {
					id := fmt.Sprintf("%s-%d-%d-%d", round, w, c, k)
					units = append(units, &eventstore.Unit{
						Pipeline: "p", Inbox: &eventstore.Mark{Key: id, Hash: 1},
						Cursor: &event.Cursor{Key: fmt.Sprint(w), Value: id},
						Appends: []eventstore.Append{
							{Stream: event.Stream{Type: "s", ID: fmt.Sprint(c % 5)}, Events: []event.Event{{ID: id, Type: "T", Data: []byte(`{"a":1}`)}}},
							{Stream: event.Stream{Type: "t", ID: fmt.Sprint(w)}, Events: []event.Event{{ID: id, Type: "T", Data: []byte(`{"a":1}`)}}},
						},
					})
				}
				if errs[w] = s.Commit(context.Background(), units, eventstore.CommitOptions{}); errs[w] != nil {
					return
				}
				var out strings.Builder
				for _, u := range units {
					if u.Result.Status != eventstore.Done {
						errs[w] = fmt.Errorf("%+v", u.Result)
						return
					}
					fmt.Fprintln(&out, u.Inbox.Key)
				}
				fmt.Print(out.String())
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// TestKill kills a process that appends, again and again on the same store: what it said was committed is there, once;
// units are whole; nothing else is wrong.
func TestKill(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	dir := t.TempDir()
	var acked []string
	for round := range rounds {
		acked = append(acked, killed(t, dir, round)...)
	}
	s := openStore(t, sqlite.Config{Dir: dir})
	v, err := s.Verify(t.Context(), func(f eventstore.Fault) { t.Errorf("verify: %+v", f) })
	if err != nil {
		t.Fatal(err)
	}
	inStream := map[string]map[string]int{"s": {}, "t": {}}
	for r, err := range s.ReadAll(t.Context(), eventstore.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		inStream[r.Stream.Type][r.ID]++
	}
	for _, id := range acked {
		if inStream["s"][id] != 1 || inStream["t"][id] != 1 {
			t.Errorf("%s was answered, and is there %d and %d times", id, inStream["s"][id], inStream["t"][id])
		}
	}
	marks := 0
	for m, err := range s.Marks(t.Context(), "p", "") {
		if err != nil {
			t.Fatal(err)
		}
		marks++
		if inStream["s"][m.Key] != 1 || inStream["t"][m.Key] != 1 {
			t.Errorf("the unit of mark %s is there in part", m.Key)
		}
	}
	if n := len(inStream["s"]); n != len(inStream["t"]) || n != marks || int64(2*n) != v.Events {
		t.Errorf("%d and %d events of %d marks, %d in the log", n, len(inStream["t"]), marks, v.Events)
	}
	// The repeat of all of it adds nothing.
	for _, id := range acked[:min(len(acked), 200)] {
		u := &eventstore.Unit{Pipeline: "q", Appends: []eventstore.Append{{
			Stream: event.Stream{Type: "t", ID: strings.Split(id, "-")[1]}, Events: []event.Event{{ID: id, Type: "T", Data: []byte(`{"a":1}`)}},
		}}}
		if err := s.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil || u.Result.Status != eventstore.Repeated {
			t.Fatalf("repeat of %s: %v %+v", id, err, u.Result)
		}
	}
	t.Logf("%d kills, %d units answered, %d events, none lost, none twice", rounds, len(acked), v.Events)
}

// killed runs the child, kills it at a random moment, and gives the ids that it printed.
func killed(t *testing.T, dir string, round int) (acked []string) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=NONE")
	cmd.Env = append(os.Environ(), killDir+"="+dir, fmt.Sprintf("%s_ROUND=%d", killDir, round))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var kill *time.Timer
	for lines.Scan() {
		if lines.Text() == "ready" { // the random moment is what is tested; nothing waits for it
			kill = time.AfterFunc(rand.N(150*time.Millisecond), func() { _ = cmd.Process.Kill() })
			continue
		}
		acked = append(acked, lines.Text())
	}
	if kill == nil {
		t.Fatal("the child did not come up")
	}
	_ = cmd.Wait()
	return acked
}
