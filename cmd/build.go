package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/cmd/skeleton"
)

// building is the flags of build.
type building struct {
	with, replace []string
	output        string
}

func (a *app) buildCommand() *cobra.Command {
	var b building
	c := &cobra.Command{
		Use:   "build --with MODULE[@VERSION][=FOLDER]…",
		Short: "Build leat with plugins of your own",
		Long: `Build a leat that has the standard plugins and those of the packages named by --with: static, stripped,
without paths of this machine. It needs Go, and the network for what is not in Go's module cache.

MODULE is the import path of the package whose init registers the plugin. @VERSION is one of its module
(default: the latest); =FOLDER takes the sources from there instead. Nothing of yours is changed: the
build has a module of its own, which is removed.`,
		Example: `  leat build --with example.com/team/archive@v1.2.0 -o leat
  leat build --with example.com/team/archive=. -o bin/leat`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.build(c.Context(), &b) },
	}
	f := c.Flags()
	f.StringArrayVar(&b.with, "with", nil, "package with plugins: MODULE[@VERSION][=FOLDER]; may be given several times")
	f.StringArrayVar(&b.replace, "replace", nil, "take a module from a folder: MODULE=FOLDER; leat=FOLDER for leat itself")
	f.StringVarP(&b.output, "output", "o", "leat", "file to write")
	_ = c.MarkFlagFilename("output")
	return c
}

// wanted is one --with.
type wanted struct {
	path    string // import path of the package
	version string
	local   *localModule
}

// localModule is a module in a folder.
type localModule struct{ path, dir, sum string }

func (a *app) build(ctx context.Context, b *building) error {
	if len(b.with) == 0 {
		return usagef("--with names what is to be built in: MODULE[@VERSION][=FOLDER]")
	}
	var all []wanted
	for _, w := range b.with {
		x, err := parseWith(w)
		if err != nil {
			return err
		}
		all = append(all, x)
	}
	leat, replaced, err := parseReplace(b.replace)
	if err != nil {
		return err
	}
	version, released := leatVersion()
	if leat == nil && !released {
		return usagef("this leat is no released version, so Go cannot find its sources: --replace leat=FOLDER says where they are")
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		return environment(errors.New("build needs Go, and there is no go command on PATH: https://go.dev/dl"))
	}
	output, err := filepath.Abs(b.output)
	if err != nil {
		return environment(err)
	}
	if info, err := os.Stat(output); err == nil && info.IsDir() {
		return usagef("-o names a file, and %s is a folder", b.output)
	}
	// Before the build, which takes a minute: a place that cannot be written is known now.
	if err := os.MkdirAll(filepath.Dir(output), 0o755); err != nil { //nolint:gosec // a folder of programs, for everybody
		return environment(err)
	}
	dir, err := os.MkdirTemp("", "leat-build-*")
	if err != nil {
		return environment(err)
	}
	defer os.RemoveAll(dir)
	w := workshop{a: a, dir: dir, tool: tool, links: map[string]string{}}
	if err := w.prepare(ctx, all, leat, replaced, version); err != nil {
		return err
	}
	made := filepath.Join(dir, "leat")
	if err := w.run(ctx, "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X "+skeleton.LeatModule+"/cmd.version="+version, "-o", made, "."); err != nil {
		return err
	}
	modules, err := w.try(ctx, made)
	if err != nil {
		return err
	}
	if err := moveFile(made, output); err != nil {
		return environment(err)
	}
	return a.built(b.output, modules, all)
}

// built tells what was built.
func (a *app) built(output string, modules []moduleInfo, all []wanted) error {
	if a.json {
		return writeLine(a.out, map[string]any{"file": output, "modules": modules})
	}
	a.say("%s: leat with", output)
	for _, m := range modules {
		a.say("  %s", m)
	}
	if modules == nil {
		return nil // built for another system
	}
	for _, w := range all {
		if !registers(modules, w.path) {
			a.say("leat: %s registers no plugin: its package must call sources.Register, sinks.Register or handlers.Register in an init", w.path)
		}
	}
	return nil
}

func registers(modules []moduleInfo, path string) bool {
	for _, m := range modules {
		if len(m.Plugins) > 0 && (path == m.Path || strings.HasPrefix(path, m.Path+"/")) {
			return true
		}
	}
	return false
}

// parseWith reads MODULE[@VERSION][=FOLDER].
func parseWith(text string) (wanted, error) {
	head, folder, local := strings.Cut(text, "=")
	path, version, versioned := strings.Cut(head, "@")
	w := wanted{path: path, version: version}
	switch {
	case !skeleton.ModulePath(path):
		return w, usagef("--with %q: %q is no import path: MODULE[@VERSION][=FOLDER], for example example.com/team/archive@v1.2.0", text, path)
	case versioned && version == "":
		return w, usagef("--with %q: there is no version behind the @", text)
	case versioned && strings.ContainsAny(version, " \t\"'`$\\"):
		return w, usagef("--with %q: %q is no version", text, version)
	case !local:
		return w, nil
	}
	m, err := openModule(folder)
	if err != nil {
		return w, usagef("--with %q: %w", text, err)
	}
	if path != m.path && !strings.HasPrefix(path, m.path+"/") {
		return w, usagef("--with %q: %s holds the module %s", text, folder, m.path)
	}
	w.local = &m
	return w, nil
}

// parseReplace reads MODULE=FOLDER; leat is short for leat's module.
func parseReplace(texts []string) (leat *skeleton.Local, others []localModule, err error) {
	for _, text := range texts {
		path, folder, ok := strings.Cut(text, "=")
		switch {
		case !ok || folder == "":
			return nil, nil, usagef("--replace wants MODULE=FOLDER, got %q", text)
		case path == "leat" || path == skeleton.LeatModule:
			l, err := skeleton.OpenLocal(folder)
			if err != nil {
				return nil, nil, usagef("--replace %q: %w", text, err)
			}
			leat = &l
		default:
			m, err := openModule(folder)
			if err != nil {
				return nil, nil, usagef("--replace %q: %w", text, err)
			}
			if m.path != path {
				return nil, nil, usagef("--replace %q: %s holds the module %s", text, folder, m.path)
			}
			others = append(others, m)
		}
	}
	return leat, others, nil
}

func openModule(folder string) (localModule, error) {
	dir, err := filepath.Abs(folder)
	if err != nil {
		return localModule{}, err
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return localModule{}, fmt.Errorf("%s holds no Go module: %w", folder, err)
	}
	sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return localModule{}, err
	}
	path := skeleton.ModuleOf(string(mod))
	if path == "" {
		return localModule{}, fmt.Errorf("the go.mod in %s names no module", folder)
	}
	return localModule{path: path, dir: dir, sum: string(sum)}, nil
}

// workshop is the module in which a build happens.
type workshop struct {
	a    *app
	dir  string
	tool string
	// links are the folders that its links lead to.
	links map[string]string
}

// prepare writes the module: a main, and a go.mod with every version pinned.
func (w workshop) prepare(ctx context.Context, all []wanted, leat *skeleton.Local, replaced []localModule, version string) error {
	var mod, sum, main strings.Builder
	fmt.Fprintf(&mod, "module leat.build/custom\n\ngo %s.0\n", goVersion())
	require := func(path, version, folder string) {
		if folder != "" {
			// By a link, so that the folder's name does not get into the program, as go.mod's replacements do.
			name := fmt.Sprintf("./module%d", len(w.links))
			if os.Symlink(folder, filepath.Join(w.dir, name)) == nil {
				w.links[name[2:]] = folder
			} else {
				name = quoteModule(folder)
			}
			fmt.Fprintf(&mod, "\nrequire %s %s\nreplace %s => %s\n", path, skeleton.NoVersion, path, name)
			return
		}
		fmt.Fprintf(&mod, "\nrequire %s %s\n", path, version)
	}
	if leat != nil {
		require(skeleton.LeatModule, "", leat.Dir)
		mod.WriteString("\n" + leat.Requires + "\n")
		sum.WriteString(leat.Sum)
	} else {
		require(skeleton.LeatModule, version, "")
	}
	done := map[string]bool{}
	for _, x := range all {
		if x.local != nil {
			replaced = append(replaced, *x.local)
		}
	}
	for _, m := range replaced {
		if !done[m.path] {
			require(m.path, "", m.dir)
			sum.WriteString(m.sum)
			done[m.path] = true
		}
	}
	fmt.Fprintf(&main, "// Command leat is leat with plugins that leat build was told of.\npackage main\n\nimport (\n\t\"os\"\n\n\t%q\n\t_ %q\n\n", skeleton.LeatModule+"/cmd", skeleton.LeatModule+"/cmd/standard")
	for _, x := range all {
		fmt.Fprintf(&main, "\t_ %q\n", x.path)
	}
	main.WriteString(")\n\nfunc main() { os.Exit(cmd.Main()) }\n")
	for name, text := range map[string]string{"go.mod": mod.String(), "go.sum": sum.String(), "main.go": main.String()} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
			return environment(err)
		}
	}
	for _, x := range all {
		if x.local != nil || done[x.path] {
			continue
		}
		if err := w.run(ctx, "get", x.path+"@"+first(x.version, "latest")); err != nil {
			return err
		}
	}
	return nil
}

// quoteModule writes a folder for go.mod.
func quoteModule(folder string) string {
	if strings.ContainsAny(folder, " \t\"'`,()[]{}") {
		return fmt.Sprintf("%q", folder)
	}
	return folder
}

// run runs the Go command in the module. What it says is passed on as it is.
func (w workshop) run(ctx context.Context, args ...string) error {
	c := exec.CommandContext(ctx, w.tool, args...) //nolint:gosec // the go command, found on PATH, with arguments of ours
	c.Dir = w.dir
	c.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "GO111MODULE=on", "CGO_ENABLED=0", "PWD="+w.dir)
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	err := c.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return environment(fmt.Errorf("run go: %w", err))
	}
	text := strings.TrimSpace(strings.ReplaceAll(said.String(), w.dir+string(filepath.Separator), ""))
	for link, folder := range w.links {
		text = strings.ReplaceAll(text, link+string(filepath.Separator), folder+string(filepath.Separator))
	}
	return fmt.Errorf("go %s:\n%s", args[0], text)
}

// try starts what was built, which runs the init of every plugin: a name that is registered twice shows here. Built for
// another system it cannot be started, and is taken as it is.
func (w workshop) try(ctx context.Context, made string) ([]moduleInfo, error) {
	for name, own := range map[string]string{"GOOS": runtime.GOOS, "GOARCH": runtime.GOARCH} {
		if v, ok := w.a.env(name); ok && v != "" && v != own {
			return nil, nil
		}
	}
	c := exec.CommandContext(ctx, made, "version", "--json")
	var words strings.Builder
	c.Stderr = &words
	out, err := c.Output()
	if err != nil {
		text := strings.TrimSpace(words.String())
		if line, _, _ := strings.Cut(text, "\n"); strings.HasPrefix(line, "panic: ") {
			text = strings.TrimPrefix(line, "panic: ")
		}
		return nil, fmt.Errorf("what was built does not start: %s", text)
	}
	var v versionInfo
	if err := json.Unmarshal(out, &v); err != nil {
		return nil, fmt.Errorf("what was built does not say its version: %w", err)
	}
	if v.Modules == nil {
		v.Modules = []moduleInfo{}
	}
	return v.Modules, nil
}

// moveFile moves a program to where it belongs; a running one of that name goes on.
func moveFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(to), ".leat-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(0o755), f.Close()); err == nil {
		err = os.Rename(f.Name(), to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
