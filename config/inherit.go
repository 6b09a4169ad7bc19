package config

import (
	"fmt"
	"reflect"
	"sync"
)

// Settings that several plugins share stand once at the top of the file: what a plugin does not say itself, it takes
// from there.

var inherited = struct {
	sync.RWMutex
	types map[string]reflect.Type // by top-level key
}{types: map[string]reflect.Type{}}

// RegisterSettings makes T what stands under a top-level key of the file ("aws"). A plugin whose struct embeds T inline
// starts from the values there, field by field; what it says itself wins. T needs fields without defaults, all
// optional. It panics where the key is none of the language's, or taken.
func RegisterSettings[T any](key string) {
	inherited.Lock()
	defer inherited.Unlock()
	if _, taken := inherited.types[key]; taken || !contains(topNames(), key) {
		panic(fmt.Sprintf("config: settings register as %s, which is taken or no key of the file", key))
	}
	inherited.types[key] = reflect.TypeFor[T]()
}

func settingsType(key string) (reflect.Type, bool) {
	inherited.RLock()
	defer inherited.RUnlock()
	t, ok := inherited.types[key]
	return t, ok
}

// settings decodes a section that plugins inherit. In a build without such plugins it is kept as it stands.
func (l *loader) settings(key string) {
	if t, ok := settingsType(key); ok {
		v := reflect.New(t).Elem()
		l.section(key, v)
		l.inherit = append(l.inherit, v)
		l.cfg.AWS = v.Interface()
		return
	}
	for _, e := range l.top[key] {
		if l.cfg.otherAWS == nil {
			l.cfg.otherAWS = map[string]Raw{}
		}
		l.cfg.otherAWS[e.key.Value] = Raw{node: e.val, f: e.f}
	}
}

// start gives a plugin's struct the settings that it inherits.
func (l *loader) start(v reflect.Value) {
	for _, from := range l.inherit {
		for i := range v.NumField() {
			if v.Type().Field(i).Anonymous && v.Field(i).Type() == from.Type() {
				v.Field(i).Set(from)
			}
		}
	}
}
