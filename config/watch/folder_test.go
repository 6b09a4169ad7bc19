package watch_test

import (
	"os"
	"testing"
	"time"

	"github.com/leatdev/leat/config/watch"
)

// TestFolders changes a folder of schemas in the ways in which folders change.
func TestFolders(t *testing.T) {
	each(t, func(f *files) {
		f.write("..1/Order/1.json", "one")
		f.write("..1/Order/2.json", "two")
		f.link("..data", "..1")
		f.must(os.MkdirAll(f.at("mounted"), 0o755))
		f.link("mounted/Order", "../..data/Order") // as a ConfigMap's items with a path are mounted
		f.write("plain/Order/1.json", "one")
		f.link("synced", "..1")
		set := func() {
			s := watch.Take(nil)
			for _, name := range []string{"mounted", "plain", "synced"} {
				s.SeenFolder(f.at(name))
			}
			f.w.Set(s)
		}
		set()
		for _, step := range []struct {
			name   string
			change func()
		}{
			{"in place", func() { f.write("plain/Order/1.json", "in place") }},
			{"a rename over it", func() { f.over("plain/Order/1.json", "renamed") }},
			{"a new version", func() { f.write("plain/Order/2.json", "two") }},
			{"a new type", func() { f.write("plain/Shipment/1.json", "one") }},
			{"in the new type", func() { f.over("plain/Shipment/1.json", "other") }},
			{"a version that goes", func() { f.must(os.Remove(f.at("plain/Order/2.json"))) }},
			{"another name", func() { f.must(os.Rename(f.at("plain/Order"), f.at("plain/Purchase"))) }},
			{"the link's target", func() { f.write("..2/Order/1.json", "swapped"); f.link("synced", "..2") }},
			{"behind a link on the way", func() { f.link("..data", "..2") }},
			{"a file of the link's target", func() { f.over("..2/Order/1.json", "three") }},
			{"the folder goes", func() { f.must(os.RemoveAll(f.at("plain"))) }},
			{"and comes", func() { f.write("new/Order/1.json", "one"); f.must(os.Rename(f.at("new"), f.at("plain"))) }},
		} {
			step.change()
			select {
			case <-f.w.Changes():
			case <-time.After(20 * time.Second):
				f.Fatalf("%s: the change was not seen", step.name)
			}
			set()
		}
		f.write("plain/README.md", "no schema")
		f.write("plain/.git/1.json", "hidden")
		f.over("plain/Order/1.json", "one")
		f.rests(100 * time.Millisecond)
	})
}

// A path that is no file is as it is: what was read of it once is not held against what is there.
func TestNoFile(t *testing.T) {
	each(t, func(f *files) {
		f.must(os.MkdirAll(f.at("dir"), 0o755))
		s := watch.Take(nil)
		s.Seen(f.at("dir"), []byte("read from elsewhere"), nil)
		f.w.Set(s)
		f.rests(50 * time.Millisecond)
	})
}
