package schemas

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A mounted ConfigMap is made of links: of the files, and of the folders where its items have paths.
func TestLinkedFolders(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(name, target string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write("..1/Order/1.json", `{"type":"object"}`)
	link("..data", "..1")
	link("Order", "..data/Order")
	write("Shipment/1.json", `true`)
	link("Shipment/2.json", "../Order/1.json")
	link("Shipment/up", "..") // has no end
	link("Gone", "nowhere")
	s, err := Load(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"Order", "Shipment"}, s.Types()); d != "" {
		t.Error(d)
	}
	if err := s.Check("Order", "1", []byte("3")); err == nil {
		t.Error("the linked schema holds nothing")
	}
	if err := s.Check("Shipment", "2", []byte("3")); err == nil {
		t.Error("the linked version holds nothing")
	}
	was := SumOf(os.DirFS(dir))
	write("..1/Order/1.json", `{"type":"array"}`)
	if SumOf(os.DirFS(dir)) == was {
		t.Error("the sum does not see behind links")
	}
}
