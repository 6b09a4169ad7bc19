package main

import (
	"bytes"
	"errors"
	"flag"
	"go/ast"
	"go/doc"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatdev/leat/config"
)

var update = flag.Bool("update", false, "write the generated pages anew")

// The pages that are made from the structs of this build are checked in, so that editors and readers have them.
func TestGeneratedPages(t *testing.T) {
	const docs = "../../docs"
	want := map[string][]byte{"leat.schema.json": append(config.Schema(), '\n')}
	for name, page := range config.Reference(packageComment(t)) {
		want["reference/"+name] = page
	}
	for name, page := range want {
		path := filepath.Join(docs, name)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, page, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if !bytes.Equal(got, page) {
			t.Errorf("docs/%s is not current: make generate", name)
		}
	}
	err := filepath.WalkDir(filepath.Join(docs, "reference"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(docs, path)
		if _, ok := want[filepath.ToSlash(name)]; ok || err != nil {
			return err
		}
		if *update {
			return os.Remove(path)
		}
		t.Errorf("docs/%s describes what is not there any more: make generate", name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// packageComment gives what a plugin's package says of itself, as Markdown.
func packageComment(t *testing.T) func(config.Subject) string {
	return func(s config.Subject) string {
		dir, ours := strings.CutPrefix(s.Package, "github.com/leatdev/leat/")
		if !ours {
			return ""
		}
		text := ""
		files, err := filepath.Glob(filepath.Join("../..", dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		for _, name := range files {
			f, err := parser.ParseFile(set, name, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil && !strings.HasSuffix(name, "_test.go") {
				text = f.Doc.Text()
			}
		}
		p, err := doc.NewFromFiles(set, []*ast.File{}, s.Package)
		if err != nil {
			t.Fatal(err)
		}
		printer := p.Printer()
		printer.HeadingLevel = 2
		printer.HeadingID = func(*comment.Heading) string { return "" }
		printer.DocLinkURL = func(*comment.DocLink) string { return "" }
		words := string(printer.Markdown(p.Parser().Parse(text)))
		if rest, ok := strings.CutPrefix(words, "Package "+filepath.Base(dir)+" is "); ok {
			words = "It is " + rest
		}
		return words
	}
}
