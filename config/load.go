package config

import (
	"io/fs"
	"os"
	"reflect"
	"sort"
	"strings"

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
	// Seen is told of each file that was read, and what was in it, for who waits for changes; nil: nobody is.
	Seen func(name string, content []byte, err error)
	// SeenFolder is told of each folder of schemas before it is read; nil: nobody is.
	SeenFolder func(name string)
	// CheckFiles lets files that plugins read and that cannot be used be errors.
	CheckFiles bool
	// Folder opens a folder that a file names (of schemas); nil is os.DirFS.
	Folder func(name string) fs.FS
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
	usedDatabases map[string]bool
	databaseNames []string
	writers       map[string]*writer
	writerNames   []string
	usedTables    map[string]bool
	// folders are those of schemas that were read; lookups what looks into tables.
	folders       map[string]folder
	lookups       []lookupUse
	storeNames    []string
	logs          []logUse
	fragments     map[string]entry
	fragmentNames []string
	// defaulted are structs with nothing but their defaults.
	defaulted map[reflect.Type]reflect.Value
	files     []*source
	// inherit are the settings that plugins start from.
	inherit []reflect.Value
	// noted are the nodes of what tests hold.
	noted map[Pos]placed
}

func newLoader(o Options) *loader {
	return &loader{
		opts: o, rank: map[string]int{}, top: map[string][]entry{}, secrets: map[string]string{}, hidden: map[string]bool{},
		scopes: map[filter.Roots]*filter.Scope{}, cfg: &Config{Stores: map[string]Plugin{}, Databases: map[string]Plugin{}, Tables: map[string]*Table{}, noEnv: o.NoEnv},
		usedFragments: map[string]bool{}, usedStores: map[string]bool{}, usedDatabases: map[string]bool{}, writers: map[string]*writer{}, usedTables: map[string]bool{}, folders: map[string]folder{}, fragments: map[string]entry{}, defaulted: map[reflect.Type]reflect.Value{},
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
			if !d.exact {
				d.Col, d.EndCol = d.f.column(d.Line, d.Col), d.f.column(d.Line, d.EndCol)
			}
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

func (l *loader) env(name string) (string, bool) {
	if v, ok := l.envVars[name]; ok {
		return v, true
	}
	if l.opts.Env != nil {
		return l.opts.Env(name)
	}
	return os.LookupEnv(name)
}

// entry is a key with its value, and the file they stand in.
type entry struct {
	f        *source
	key, val *yaml.Node
}
