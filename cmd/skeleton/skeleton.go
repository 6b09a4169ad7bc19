// Package skeleton is what `leat new` writes: a pipeline with data and tests, or a Go module with a plugin, its tests, a
// main and a pipeline that uses it. What it gives works as it stands: the pipeline loads and its tests pass, the module
// builds and its tests pass.
//
// The texts are in files/, one folder for each kind; *.tmpl are templates (fill.go). Names are checked before they get into one.
package skeleton

import (
	"embed"
	"errors"
	"fmt"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/leatdev/leat/config"
)

//go:embed all:files
var embedded embed.FS

// Files are texts by their paths, with slashes, below the folder that they are for.
type Files map[string]string

// Names gives the paths in order.
func (f Files) Names() []string { return slices.Sorted(maps.Keys(f)) }

// ErrExists says that something stands where a file was to be written; nothing was written then.
var ErrExists = errors.New("nothing is overwritten")

// Write writes the files below a folder, which is made. Where one of them is there already, none is written.
func (f Files) Write(dir string) error {
	var there []string
	for _, name := range f.Names() {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			there = append(there, filepath.Join(dir, name))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("skeleton: %w", err)
		}
	}
	if len(there) > 0 {
		return fmt.Errorf("%w: %s exists", ErrExists, strings.Join(there, ", "))
	}
	for _, name := range f.Names() {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // a project for everybody who works on it
			return fmt.Errorf("skeleton: %w", err)
		}
		out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // likewise
		if err != nil {
			return fmt.Errorf("skeleton: %w", err)
		}
		_, err = out.WriteString(f[name])
		if err = errors.Join(err, out.Close()); err != nil {
			return fmt.Errorf("skeleton: write %s: %w", path, err)
		}
	}
	return nil
}

// Pipeline says what a new pipeline is made of.
type Pipeline struct {
	Name string
	// Dir is the folder that it is for, as commands will name it: paths in the file start with it.
	Dir string
	// Source, Sink and Store are names of plugins.
	Source, Sink, Store string
}

// Files gives the files of the pipeline.
func (p Pipeline) Files() (Files, error) {
	if !pipelineName.MatchString(p.Name) {
		return nil, fmt.Errorf("%q is no name for a pipeline: letters, digits, '-', '_' and '.'", p.Name)
	}
	var err error
	part := func(kind config.Kind, name string) string {
		text, e := config.Starter(kind, name)
		err = errors.Join(err, e)
		return text
	}
	dir := filepath.ToSlash(p.Dir)
	if strings.ContainsAny(dir, "\n\"\\") || strings.Contains(dir, "${") {
		return nil, fmt.Errorf("the folder %q cannot stand in a file: leave out quotes, backslashes and ${", p.Dir)
	}
	data := map[string]any{
		"Name": p.Name, "Dir": dir, "Table": tableName(p.Name), "Stored": p.Store != "sqlite", "FromFile": p.Source == "file", "StoreName": p.Store,
		"Source": part(config.KindSource, p.Source), "Sink": part(config.KindSink, p.Sink), "Store": part(config.KindStore, p.Store), "SinkName": p.Sink,
	}
	if err != nil {
		return nil, err
	}
	data["Appends"], data["Renamed"] = true, p.Source == p.Sink
	if p.Source == "event_log" { // what it reads is in the log already
		data["Appends"], data["Source"] = false, "event_log: { types: [OrderCreated, OrderChanged] }  # what pipelines have appended\n"
	}
	if p.Source == "file" {
		data["Source"] = fmt.Sprintf("file: { path: %q }\n", dir+"/events.ndjson")
	}
	if p.Sink == "file" {
		data["Sink"] = fmt.Sprintf("file: { path: %q }\n", dir+"/out.ndjson")
	}
	if p.Source == p.Sink { // not the same queue: the pipeline would feed itself
		data["Sink"] = strings.ReplaceAll(data["Sink"].(string), "orders", "large-orders")
	}
	f, err := fill("pipeline", data)
	if err == nil && p.Source != "file" {
		delete(f, "events.ndjson")
	}
	return f, err
}

var (
	pipelineName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)
	pluginName   = regexp.MustCompile(`^[a-z][a-z0-9]*([_-][a-z0-9]+)*$`)
	modulePath   = regexp.MustCompile(`^[a-z0-9]([a-zA-Z0-9._~/-]*[a-zA-Z0-9_])?$`)
)

// ModulePath reports whether a text can be the path of a module or a package.
func ModulePath(s string) bool {
	return modulePath.MatchString(s) && !strings.Contains(s, "//") && !strings.Contains(s, "..")
}

// tableName makes a table's name of a pipeline's.
func tableName(s string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if r == '-' || r == '.' {
			return '_'
		}
		return r
	}, "t_"+s))[2:]
}

// Plugin says what a new module with a plugin is called.
type Plugin struct {
	// Kind is source or sink or handler.
	Kind string
	// Name is what the YAML calls it; a dash in it becomes an underscore.
	Name string
	// Module is the module's path.
	Module string
	// Leat is the version of leat that it requires.
	Leat string
	// Local stands in for that version where it is set, as go.mod names it by Replace.
	Local   *Local
	Replace string
	// Go is the language version, as in 1.26.
	Go string
}

// Files gives the files of the module.
func (p Plugin) Files() (Files, error) {
	name := strings.ReplaceAll(p.Name, "-", "_")
	pkg := strings.ReplaceAll(name, "_", "")
	switch {
	case !pluginName.MatchString(p.Name):
		return nil, fmt.Errorf("%q is no name for a %s: small letters, digits and _, starting with a letter", p.Name, p.Kind)
	case token.IsKeyword(pkg) || pkg == "main" || pkg == "init":
		return nil, fmt.Errorf("%q is a word of Go, which cannot name a package", pkg)
	case !ModulePath(p.Module):
		return nil, fmt.Errorf("%q is no path of a Go module: for example example.com/team/%s", p.Module, p.Name)
	}
	if r, ok := config.LookupPlugin(config.Kind(p.Kind), name); ok {
		return nil, fmt.Errorf("this build has a %s %s already (from %s), and a name is taken once", p.Kind, name, r.Config.PkgPath())
	}
	data := map[string]any{"Name": name, "Package": pkg, "Module": p.Module, "Leat": p.Leat, "Go": p.Go + ".0", "Image": p.Go, "Kind": p.Kind, "Replace": "", "Requires": ""}
	if p.Local != nil {
		data["Leat"], data["Replace"], data["Requires"] = NoVersion, p.Replace, p.Local.Requires
	}
	f, err := fill(p.Kind, data)
	if err != nil {
		return nil, err
	}
	module, err := fill("module", data)
	maps.Copy(f, module)
	if p.Local != nil {
		f["go.sum"] = p.Local.Sum
	}
	return f, err
}

// fill makes the files of a folder under files/. PACKAGE in a path is the package's name.
func fill(folder string, data map[string]any) (Files, error) {
	out := Files{}
	root := "files/" + folder
	err := fs.WalkDir(embedded, root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := embedded.ReadFile(path)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, root+"/")
		if short, ok := strings.CutSuffix(name, ".tmpl"); ok {
			name = short
			filled, err := expand(string(text), data)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			text = []byte(filled)
		}
		if p, ok := data["Package"].(string); ok {
			name = strings.ReplaceAll(name, "PACKAGE", p)
		}
		out[name] = string(text)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("skeleton: %s: %w", folder, err)
	}
	return out, nil
}
