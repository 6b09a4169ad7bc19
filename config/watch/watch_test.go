package watch_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/leatdev/leat/config/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type files struct {
	*testing.T
	dir   string
	w     *watch.Watcher
	paths []string
}

// set reads what there is and waits for changes of it.
func (f *files) set() {
	f.Helper()
	s := watch.Take(f.paths)
	for _, p := range f.paths {
		b, err := os.ReadFile(p)
		if info, e := os.Stat(p); e != nil || !info.IsDir() {
			s.Seen(p, b, err)
		}
	}
	f.w.Set(s)
}

func (f *files) at(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

func (f *files) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *files) write(name, text string) {
	f.Helper()
	f.must(os.MkdirAll(filepath.Dir(f.at(name)), 0o755))
	f.must(os.WriteFile(f.at(name), []byte(text), 0o644))
}

// again writes a file's bytes once more, without a moment in which it is empty.
func (f *files) again(name, text string) {
	f.Helper()
	file, err := os.OpenFile(f.at(name), os.O_WRONLY, 0)
	f.must(err)
	_, err = file.WriteString(text)
	f.must(err)
	f.must(file.Close())
}

// over renames a new file over an old one, as sed -i and editors do.
func (f *files) over(name, text string) {
	f.Helper()
	f.write(name+".tmp", text)
	f.must(os.Rename(f.at(name+".tmp"), f.at(name)))
}

// link lets a symbolic link lead elsewhere in one step, as Kubernetes and git-sync do.
func (f *files) link(name, target string) {
	f.Helper()
	f.must(os.Symlink(target, f.at(name+".new")))
	f.must(os.Rename(f.at(name+".new"), f.at(name)))
}

func (f *files) changes() {
	f.Helper()
	select {
	case <-f.w.Changes():
	case <-time.After(time.Minute):
		f.Fatal("the change was not seen")
	}
}

func (f *files) rests(d time.Duration) {
	f.Helper()
	select {
	case <-f.w.Changes():
		f.Error("a change where there was none")
	case <-time.After(d):
	}
}

// each runs a test by notices alone (the poll is too slow to help), and by the poll alone.
func each(t *testing.T, test func(f *files)) {
	for name, o := range map[string]watch.Options{
		"notices": {Settle: 5 * time.Millisecond, Poll: time.Hour},
		"poll":    {Settle: 5 * time.Millisecond, Poll: 10 * time.Millisecond, NoNotices: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			f := &files{T: t, dir: t.TempDir(), w: watch.New(ctx, o)}
			t.Cleanup(func() { cancel(); <-f.w.Done() })
			test(f)
		})
	}
}

func TestSaves(t *testing.T) {
	each(t, func(f *files) {
		f.write("a.yaml", "one")
		f.write("b.yaml", "one")
		f.paths = []string{f.at("a.yaml"), f.at("b.yaml")}
		f.set()
		for i, save := range []func(){
			func() { f.write("a.yaml", "in place") },
			func() { f.over("a.yaml", "by a rename") },
			func() { f.over("a.yaml", "by another rename") },
			func() { f.write("a.yaml", "in place, in the new file") },
			func() { f.must(os.Rename(f.at("a.yaml"), f.at("a.yaml~"))); f.write("a.yaml", "with a backup") },
			func() { f.must(os.Remove(f.at("b.yaml"))) },
			func() { f.write("b.yaml", "again there") },
		} {
			save()
			f.changes()
			f.set()
			if f.Failed() {
				f.Fatalf("save %d", i)
			}
		}
	})
}

func TestWhatIsNoChange(t *testing.T) {
	each(t, func(f *files) {
		f.write("a.yaml", "one")
		f.paths = []string{f.at("a.yaml")}
		f.set()
		f.again("a.yaml", "one")
		f.over("a.yaml", "one")
		f.write("another.yaml", "two")
		f.must(os.Chtimes(f.at("a.yaml"), time.Now(), time.Now()))
		f.rests(100 * time.Millisecond)
		f.write("a.yaml", "two")
		f.changes()
		f.write("a.yaml", "three") // told already
		f.rests(50 * time.Millisecond)
	})
}

func TestChangedSinceItWasRead(t *testing.T) {
	each(t, func(f *files) {
		f.write("a.yaml", "one")
		s := watch.Take([]string{f.at("a.yaml")})
		s.Seen(f.at("a.yaml"), []byte("zero"), nil)
		f.w.Set(s)
		f.changes()
	})
}

func TestDirectories(t *testing.T) {
	each(t, func(f *files) {
		f.write("conf/a.yaml", "one")
		f.paths = []string{f.at("conf"), f.at("conf/a.yaml")}
		f.set()
		f.write("conf/notes.txt", "no pipeline")
		f.rests(30 * time.Millisecond)
		f.write("conf/b.yml", "another")
		f.changes()
		f.set()
		f.must(os.Remove(f.at("conf/b.yml")))
		f.changes()
		f.set()
		f.write("conf/a.yaml", "two")
		f.changes()
	})
}

// TestConfigMap swaps what a volume of Kubernetes holds: files are links to ..data/NAME, and ..data is a link to a
// directory with a time in its name.
func TestConfigMap(t *testing.T) {
	each(t, func(f *files) {
		f.write("..2026_01/a.yaml", "one")
		f.must(os.Symlink("..2026_01", f.at("..data")))
		f.must(os.Symlink("..data/a.yaml", f.at("a.yaml")))
		f.paths = []string{f.at("a.yaml")}
		f.set()
		for i, next := range []string{"..2026_02", "..2026_03"} {
			f.write(next+"/a.yaml", next)
			f.link("..data", next)
			f.changes()
			if i == 0 {
				f.must(os.RemoveAll(f.at("..2026_01")))
			}
			f.set()
		}
		f.rests(30 * time.Millisecond)
	})
}

// TestGitSync swaps the link of a whole checkout, above the directory that is named.
func TestGitSync(t *testing.T) {
	each(t, func(f *files) {
		f.write(".worktrees/1/conf/a.yaml", "one")
		f.must(os.Symlink(".worktrees/1", f.at("current")))
		f.paths = []string{f.at("current/conf"), f.at("current/conf/a.yaml")}
		f.set()
		f.write(".worktrees/2/conf/a.yaml", "two")
		f.link("current", ".worktrees/2")
		f.changes()
		f.set()
		f.write(".worktrees/2/conf/b.yaml", "more")
		f.changes()
		f.set()
		f.write(".worktrees/3/conf/a.yaml", "three")
		f.link("current", f.at(".worktrees/3")) // absolute
		f.changes()
	})
}

// TestLinksInARound end.
func TestLinksInARound(t *testing.T) {
	each(t, func(f *files) {
		f.must(os.Symlink("b.yaml", f.at("a.yaml")))
		f.must(os.Symlink("a.yaml", f.at("b.yaml")))
		f.paths = []string{f.at("a.yaml")}
		f.set()
		f.must(os.Remove(f.at("b.yaml")))
		f.write("b.yaml", "a file at last")
		f.changes()
	})
}
