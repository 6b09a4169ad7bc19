package main

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/leatdev/leat/config"
)

var update = flag.Bool("update", false, "write the generated pages anew")

// The pages that are made from the structs of this build are checked in, so that editors and readers have them.
func TestGeneratedPages(t *testing.T) {
	for _, page := range []struct {
		path string
		want []byte
	}{
		{"../../docs/leat.schema.json", append(config.Schema(), '\n')},
		{"../../docs/reference.md", config.Reference()},
	} {
		if *update {
			if err := os.WriteFile(page.path, page.want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(page.path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, page.want) {
			t.Errorf("%s is not current: go test ./cmd/leat -run Generated -update", page.path)
		}
	}
}
