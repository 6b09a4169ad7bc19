package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"sort"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/pipeline/filter"
)

// Options say where a config's values come from. The zero value is what `leat run` wants.
type Options struct {
	// Env looks up a variable; nil is os.LookupEnv.
	Env func(name string) (string, bool)
	// NoEnv looks up nothing: a ${…} without default then satisfies any field, and ${file:…} is not read.
	NoEnv bool
	// EnvFile names a file of NAME=value lines, which win over Env; empty: none.
	EnvFile string
	// ReadFile reads config files and what ${file:…} names; nil is os.ReadFile.
	ReadFile func(name string) ([]byte, error)
}

// Load reads and checks the files of a command line; a directory stands for the *.yaml and *.yml files in it. The Config
// is whole where the diagnostics have no error; with errors it holds what could be read, for tools that show it.
func Load(files []string, o Options) (*Config, Diagnostics) {
	l := newLoader(o)
	l.envFile()
	if len(files) == 0 {
		l.whole("", CodeFile, "no config file is given", "")
	}
	for _, name := range l.expand(files) {
		l.rank[name] = len(l.rank)
		if b, ok := l.read(name); ok {
			l.file(name, b)
		}
	}
	return l.finish()
}

// LoadBytes reads and checks one file that is in memory already; name is what messages call it.
func LoadBytes(name string, b []byte, o Options) (*Config, Diagnostics) {
	l := newLoader(o)
	l.envFile()
	if len(b) > maxFileSize {
		l.tooLarge(name, int64(len(b)))
	} else {
		l.file(name, b)
	}
	return l.finish()
}

type loader struct {
	opts    Options
	envVars map[string]string
	diags   Diagnostics
	rank    map[string]int
	// top holds what the files say under each top-level key, in their order.
	top map[string][]entry
	// secrets are the files read for ${file:…}; hidden the values that no message may repeat.
	secrets map[string]string
	hidden  map[string]bool
	scopes  map[filter.Roots]*filter.Scope
	cfg     *Config
	// Names as they are used, for what is defined and not used.
	usedFragments map[string]bool
	usedStores    map[string]bool
	writers       map[string]*writer
	writerNames   []string
	usedTables    map[string]bool
	storeNames    []string
	fragments     map[string]entry
	fragmentNames []string
	// defaulted are structs with nothing but their defaults.
	defaulted map[reflect.Type]reflect.Value
	files     []*source
}

func newLoader(o Options) *loader {
	return &loader{
		opts: o, rank: map[string]int{}, top: map[string][]entry{}, secrets: map[string]string{}, hidden: map[string]bool{},
		scopes: map[filter.Roots]*filter.Scope{}, cfg: &Config{Stores: map[string]Plugin{}, Tables: map[string]*Table{}, noEnv: o.NoEnv},
		usedFragments: map[string]bool{}, usedStores: map[string]bool{}, writers: map[string]*writer{}, usedTables: map[string]bool{}, fragments: map[string]entry{}, defaulted: map[reflect.Type]reflect.Value{},
	}
}

// file takes one file's top-level keys in.
func (l *loader) file(name string, b []byte) {
	l.cfg.Files = append(l.cfg.Files, name)
	s, ok := l.decodeText(name, b)
	if !ok {
		return
	}
	f := newSource(name, s)
	l.files = append(l.files, f)
	root := l.parse(f)
	if root == nil {
		return
	}
	l.topLevel(f, root)
}

// finish decodes what was gathered and gives the result.
func (l *loader) finish() (*Config, Diagnostics) {
	if len(l.files) > 0 {
		l.decodeAll()
	}
	hidden := make([]string, 0, len(l.hidden))
	for v := range l.hidden {
		hidden = append(hidden, v)
	}
	sort.Slice(hidden, func(i, j int) bool { return len(hidden[i]) > len(hidden[j]) })
	scrub := func(s string) string {
		for _, v := range hidden {
			if len(v) >= 4 {
				s = strings.ReplaceAll(s, v, masked)
			}
		}
		return s
	}
	for i := range l.diags {
		d := &l.diags[i]
		d.Message, d.Hint = scrub(d.Message), scrub(d.Hint)
		if d.f != nil && d.Line > 0 {
			d.Col, d.EndCol = d.f.column(d.Line, d.Col), d.f.column(d.Line, d.EndCol)
			d.EndCol = max(d.EndCol, d.Col+1)
			d.Snippet, d.caret, d.caretEnd = d.f.snippet(d.Line, d.Col, d.EndCol)
			d.Snippet = scrub(d.Snippet)
		}
		d.f = nil
	}
	l.diags.sorted(l.rank)
	l.diags = l.diags.distinct().withoutEchoes()
	return l.cfg, l.diags
}

// withoutEchoes takes away what is said of an expression at the very sign of which a trap was reported.
func (ds Diagnostics) withoutEchoes() Diagnostics {
	type place struct {
		file      string
		line, col int
	}
	traps := map[place]bool{}
	for _, d := range ds {
		if d.Code == CodeYAMLTrap {
			traps[place{d.File, d.Line, d.Col}] = true
		}
	}
	out := ds[:0]
	for _, d := range ds {
		if d.Code != CodeExpression && d.Code != CodeTemplate || !traps[place{d.File, d.Line, d.Col}] {
			out = append(out, d)
		}
	}
	return out
}

// distinct takes away repeats of one mistake at one place, which a fragment used twice gives; their uses are kept.
func (ds Diagnostics) distinct() Diagnostics {
	out := ds[:0]
	for _, d := range ds {
		known := false
		for i := len(out) - 1; i >= 0 && out[i].File == d.File && out[i].Line == d.Line && out[i].Col == d.Col; i-- {
			if out[i].Code != d.Code || out[i].Message != d.Message {
				continue
			}
			known = true
			for _, r := range d.Related {
				seen := false
				for _, q := range out[i].Related {
					seen = seen || q == r
				}
				if !seen {
					out[i].Related = append(out[i].Related, r)
				}
			}
			break
		}
		if !known {
			out = append(out, d)
		}
	}
	return out
}

func (l *loader) env(name string) (string, bool) {
	if v, ok := l.envVars[name]; ok {
		return v, true
	}
	if l.opts.Env != nil {
		return l.opts.Env(name)
	}
	return os.LookupEnv(name)
}

// envFile reads Options.EnvFile: NAME=value lines, the value plain or in quotes, `export` before the name allowed.
func (l *loader) envFile() {
	name := l.opts.EnvFile
	if name == "" {
		return
	}
	b, err := l.readFile(name)
	if err != nil {
		why := "the file cannot be read: " + reason(err)
		if errors.Is(err, fs.ErrNotExist) {
			why = "there is no such file"
		}
		l.whole(name, CodeFile, why, "")
		return
	}
	if len(b) > maxFileSize {
		l.tooLarge(name, int64(len(b)))
		return
	}
	l.envVars = map[string]string{}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(b), "\ufeff")) {
		n++
		s := strings.TrimSpace(line)
		if s == "" || s[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(strings.TrimPrefix(s, "export "), "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || !variableName.MatchString(key) {
			// No snippet: the line may hold a secret.
			l.add(Diagnostic{File: name, Line: n, Col: 1, EndCol: 2, Code: CodeInterpolation, Severity: Error, Message: "the line is not NAME=value"})
			continue
		}
		if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		l.envVars[key] = value
	}
}

// add notes a diagnostic.
func (l *loader) add(d Diagnostic) {
	if d.EndCol <= d.Col {
		d.EndCol = d.Col + 1
	}
	if d.Line == 0 {
		d.Col, d.EndCol = 0, 0
	}
	l.diags = append(l.diags, d)
}

// whole notes an error of a file as a whole.
func (l *loader) whole(file string, code Code, message, hint string) {
	if file == "" {
		file = "leat"
	}
	l.add(Diagnostic{File: file, Code: code, Severity: Error, Message: message, Hint: hint})
}

// at notes an error at a node.
func (l *loader) at(f *source, n *yaml.Node, p *path, code Code, message, hint string) *Diagnostic {
	start, end := extent(f, n)
	l.add(Diagnostic{File: f.name, f: f, Line: start.line, Col: start.col, EndCol: end, Path: p.String(), Code: code, Severity: Error, Message: message, Hint: hint})
	return &l.diags[len(l.diags)-1]
}

// span notes an error at a part of a scalar: bytes [from, to) of its value.
func (l *loader) span(c scope, n *yaml.Node, from, to int, code Code, message, hint string) *Diagnostic {
	d := l.at(c.f, n, c.path, code, message, hint)
	d.Related = append(d.Related, c.uses...)
	if len(n.Value) > 8*maxLine {
		return d
	}
	spots := c.f.spots(n)
	if spots == nil {
		return d
	}
	from, to = min(max(from, 0), len(n.Value)), min(max(to, from), len(n.Value))
	d.Line, d.Col = spots[from].line, spots[from].col
	d.EndCol = d.Col + 1
	if to > from {
		if spots[to-1].line == d.Line {
			_, size := utf8.DecodeLastRuneInString(n.Value[:to])
			d.EndCol = spots[to-size].col + 1
			if spots[to].line == d.Line && spots[to].col > d.EndCol {
				d.EndCol = spots[to].col
			}
		} else {
			d.EndCol = utf8.RuneCountInString(trimRight(c.f.line(d.Line))) + 1
		}
	}
	return d
}

// extent gives where a node starts, and where its text ends in that line.
func extent(f *source, n *yaml.Node) (spot, int) {
	start := spot{n.Line, n.Column}
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
			return start, start.col + 1
		}
		spots := []spot(nil)
		if len(n.Value) <= maxLine {
			spots = f.spots(n)
		}
		if spots == nil {
			return start, start.col + max(1, utf8.RuneCountInString(n.Value))
		}
		last := spots[len(spots)-1]
		end := last.col
		if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
			end++
		}
		if last.line != start.line {
			end = utf8.RuneCountInString(trimRight(f.line(start.line))) + 1
		}
		return start, max(end, start.col+1)
	case yaml.AliasNode:
		return start, start.col + 1 + utf8.RuneCountInString(n.Value)
	}
	if n.Style&yaml.FlowStyle == 0 && len(n.Content) > 0 && n.Kind == yaml.MappingNode && n.Content[0].Kind == yaml.ScalarNode {
		return extent(f, n.Content[0])
	}
	return start, start.col + 1
}

// path is the place of something in the config, from the root.
type path struct {
	up    *path
	name  string
	index int // used where name is empty
}

func (p *path) String() string {
	if p == nil {
		return ""
	}
	s := p.up.String()
	switch {
	case p.name == "":
		return fmt.Sprintf("%s[%d]", s, p.index)
	case s == "":
		return p.name
	}
	return s + "." + p.name
}

// entry is a key with its value, and the file they stand in.
type entry struct {
	f        *source
	key, val *yaml.Node
}
