package file

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/pipeline/event"
)

// follower is a followed source within a synctest bubble: time passes only while everything waits.
type follower struct {
	*places
	t    *testing.T
	src  *Source
	msgs <-chan *message.Message
	stop context.CancelFunc
}

func follow(t *testing.T, p *places, c Config) *follower {
	t.Helper()
	c.Follow = true
	f := &follower{places: p, t: t, src: p.open(t, c)}
	var ctx context.Context
	ctx, f.stop = context.WithCancel(t.Context())
	var err error
	if f.msgs, err = f.src.Subscribe(ctx, ""); err != nil {
		t.Fatal(err)
	}
	return f
}

// expect takes lines, and sees that no more come within a minute.
func (f *follower) expect(what string, want []string) {
	f.t.Helper()
	missing := time.AfterFunc(time.Hour, f.stop) // which ends the channel
	got := f.take(f.msgs, len(want))
	missing.Stop()
	same(f.t, what, want, got)
	quiet := time.NewTimer(time.Minute)
	defer quiet.Stop()
	select {
	case m, open := <-f.msgs:
		if !open {
			f.t.Fatalf("%s: the source ended", what)
		}
		f.t.Fatalf("%s: more than was written: %q", what, event.FromMessage(m).Events[0].Raw)
	case <-quiet.C:
	}
}

func (f *follower) end() {
	f.t.Helper()
	f.stop()
	if _, open := <-f.msgs; open {
		f.t.Error("a batch after the stop")
	}
	if err := f.src.Close(); err != nil {
		f.t.Error(err)
	}
}

func TestFollow(t *testing.T) {
	const whole, second = `{"whole":"line"}`, `{"second":"line"}`
	move := func(t *testing.T, a, b string) {
		t.Helper()
		if err := os.Rename(a, b); err != nil {
			t.Fatal(err)
		}
	}
	old, oldLines := numbered(1, 100)
	fresh, freshLines := numbered(500, 520)
	for _, tt := range []struct {
		name string
		glob string // default: the file itself
		from string
		more string // behind the old lines
		run  func(t *testing.T, f *follower, path string)
	}{
		{name: "grows", run: func(t *testing.T, f *follower, path string) {
			f.expect("old", oldLines)
			add(t, path, fresh)
			f.expect("new", freshLines)
		}},
		{name: "a line in two writes", run: func(t *testing.T, f *follower, path string) {
			f.expect("old", oldLines)
			add(t, path, whole[:5])
			f.expect("half", nil)
			add(t, path, whole[5:]+"\n"+second[:3])
			f.expect("whole", []string{whole})
			add(t, path, second[3:]+"\n")
			f.expect("second", []string{second})
		}},
		{name: "from the end", from: "end", run: func(t *testing.T, f *follower, path string) {
			f.expect("old", nil)
			add(t, path, fresh)
			f.expect("new", freshLines)
		}},
		{name: "from the end, within a line", from: "end", more: whole[:7], run: func(t *testing.T, f *follower, path string) {
			f.expect("old", nil)
			add(t, path, whole[7:]+"\n")
			f.expect("the line that was being written", []string{whole})
		}},
		{name: "renamed, and written anew", run: func(t *testing.T, f *follower, path string) {
			f.expect("old", oldLines)
			move(t, path, path+".1")
			write(t, path, fresh)
			add(t, path+".1", whole+"\n"+second)
			f.expect("the old one's rest comes first", append([]string{whole, second}, freshLines...))
		}},
		{name: "renamed, and still written to for a while", run: func(t *testing.T, f *follower, path string) {
			f.expect("old", oldLines)
			move(t, path, path+".1")
			write(t, path, fresh)
			time.Sleep(time.Second + 50*time.Millisecond) // of the bubble: the new file has been seen
			add(t, path+".1", whole+"\n")
			f.expect("the old one's rest comes first", append([]string{whole}, freshLines...))
		}},
		{name: "cut to its middle", run: func(t *testing.T, f *follower, path string) {
			f.expect("old", oldLines)
			if err := os.Truncate(path, int64(len(old)/2)); err != nil {
				t.Fatal(err)
			}
			f.expect("once more from its start", oldLines[:50])
			add(t, path, fresh)
			f.expect("new", freshLines)
		}},
		{name: "from the end, with a file that comes later", from: "end", glob: "*", run: func(t *testing.T, f *follower, path string) {
			f.expect("old", nil)
			write(t, path+".new", fresh)
			f.expect("new", freshLines)
		}},
		{name: "renamed within the glob", glob: "in*", run: func(t *testing.T, f *follower, path string) {
			f.expect("old", oldLines)
			move(t, path, path+".1")
			f.expect("renamed", nil)
			write(t, path, fresh)
			f.expect("new", freshLines)
			add(t, path+".1", whole+"\n")
			f.expect("the renamed one grows", []string{whole})
		}},
		{name: "copied and truncated", glob: "in*", run: func(t *testing.T, f *follower, path string) {
			f.expect("old", oldLines)
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
			write(t, path+".1", old)
			add(t, path, fresh)
			f.expect("new", freshLines)
			add(t, path+".1", whole+"\n")
			f.expect("the copy grows", []string{whole})
		}},
		{name: "written anew and longer", run: func(t *testing.T, f *follower, path string) {
			f.expect("old", oldLines)
			text, lines := numbered(1000, 1400)
			write(t, path, text) // truncates
			f.expect("new", lines)
			if !strings.Contains(f.logs.String(), "written anew") {
				t.Errorf("nothing said: %s", &f.logs)
			}
		}},
		{name: "removed, and there again", run: func(t *testing.T, f *follower, path string) {
			f.expect("old", oldLines)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			f.expect("removed", nil)
			write(t, path, fresh)
			f.expect("new", freshLines)
		}},
		{name: "another file of the glob", glob: "*", run: func(t *testing.T, f *follower, path string) {
			f.expect("old", oldLines)
			write(t, filepath.Join(filepath.Dir(path), "a"), "")
			f.expect("empty", nil)
			add(t, filepath.Join(filepath.Dir(path), "a"), old+fresh) // begins like the other one
			f.expect("new", append(append([]string{}, oldLines...), freshLines...))
		}},
		{name: "a packed file of the glob", glob: "*", run: func(t *testing.T, f *follower, path string) {
			f.expect("old", oldLines)
			write(t, path+".gz", packed(t, fresh))
			f.expect("new", freshLines)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "in")
			write(t, path, old+tt.more)
			c := Config{Path: []string{path}, From: tt.from}
			if tt.glob != "" {
				c.Path = []string{filepath.Join(dir, tt.glob)}
			}
			synctest.Test(t, func(t *testing.T) {
				f := follow(t, newPlaces(), c)
				tt.run(t, f, path)
				f.end()
			})
		})
	}
}

func TestFollowWaitsForItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in")
	synctest.Test(t, func(t *testing.T) {
		f := follow(t, newPlaces(), Config{Path: []string{path}})
		f.expect("nothing", nil)
		write(t, path, "1\n2\n")
		f.expect("all", []string{"1", "2"})
		f.end()
	})
}

func TestFollowResumes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in")
	p := newPlaces()
	for i := range 20 {
		text, lines := numbered(10*i, 10*i+9)
		add(t, path, text)
		synctest.Test(t, func(t *testing.T) {
			f := follow(t, p, Config{Path: []string{path}, From: []string{"start", "end"}[min(i, 1)]})
			f.expect("what was added while nobody read", lines)
			f.end()
		})
	}
}

func TestFollowRefuses(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		dir:         "file: " + dir + " is a folder: " + dir + "/*.ndjson reads the files in it",
		os.DevNull:  "file: " + os.DevNull + " is a pipe or a device: only files can be followed",
		dir + "/x/": "",
	} {
		s := newPlaces().open(t, Config{Path: []string{path}, Follow: true})
		_, err := s.Subscribe(t.Context(), "")
		if got := errText(err); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
