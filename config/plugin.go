package config

import (
	"fmt"
	"reflect"
	"sort"
	"sync"
)

// Kind is a kind of plugin.
type Kind string

// The kinds.
const (
	KindSource  Kind = "source"
	KindSink    Kind = "sink"
	KindHandler Kind = "handler"
	KindStore   Kind = "store"
	// KindDatabase is where tables may lie besides the stores' own databases.
	KindDatabase Kind = "database"
)

// Registration is what a plugin's package says of it at start.
type Registration struct {
	Kind Kind
	Name string
	// Config is the struct type that is the plugin's YAML.
	Config reflect.Type
	// Open is the plugin's constructor; its type is the business of the kind's package.
	Open any
}

var registry = struct {
	sync.RWMutex
	m map[Kind]map[string]Registration
}{m: map[Kind]map[string]Registration{}}

// RegisterPlugin notes a plugin. It panics where the name is taken, as that is a mistake in the build. Plugins call
// the Register of their kind (sources.Register, …), not this.
func RegisterPlugin(r Registration) {
	registry.Lock()
	defer registry.Unlock()
	if registry.m[r.Kind] == nil {
		registry.m[r.Kind] = map[string]Registration{}
	}
	if _, taken := registry.m[r.Kind][r.Name]; taken {
		panic(fmt.Sprintf("config: two plugins register as %s %s", r.Kind, r.Name))
	}
	registry.m[r.Kind][r.Name] = r
}

// LookupPlugin finds a plugin.
func LookupPlugin(k Kind, name string) (Registration, bool) {
	registry.RLock()
	defer registry.RUnlock()
	r, ok := registry.m[k][name]
	return r, ok
}

// Plugins lists the plugins of a kind by name.
func Plugins(k Kind) []Registration {
	registry.RLock()
	defer registry.RUnlock()
	out := make([]Registration, 0, len(registry.m[k]))
	for _, r := range registry.m[k] {
		out = append(out, r)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// Reading is what config structs of plugins implement that read files when they are opened: certificates, word lists, models.
// A running daemon that follows its files reloads the pipelines whose plugins read one that has changed.
type Reading interface {
	// Files names them, as they are opened, without those that are not set.
	Files() []string
}

// CheckingFiles is what they implement beside it whose files may be broken: a daemon asks before it stops what runs by
// the old ones.
type CheckingFiles interface {
	// CheckFile says why a file's content cannot be used.
	CheckFile(name string, content []byte) error
}

// Mounted is what config structs of sources implement that stand on the daemon's listener alone on their paths: two pipelines
// cannot have one.
type Mounted interface {
	// Mounts gives method and path, as http.ServeMux takes them: "POST /orders".
	Mounts() []string
}

// Plugin is a plugin key with its decoded struct.
type Plugin struct {
	Kind Kind
	Name string
	// Config is a value of the registered struct type.
	Config any
	Pos    Pos
}
