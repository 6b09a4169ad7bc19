package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"sort"
	"strings"
)

// Meaning writes out what a piece of configuration means: every field that is set, by name, without places in files
// and without secrets. Two pieces that mean the same give the same text.
func Meaning(v any) string {
	d := description{}
	d.value(reflect.ValueOf(v))
	return d.String()
}

// Fingerprint is a hash over what Meaning writes, and over the secrets: a changed one is a change.
func Fingerprint(v any) string {
	d := description{secrets: true}
	d.value(reflect.ValueOf(v))
	return Hash(d.String())
}

type description struct {
	strings.Builder
	secrets bool
}

// Hash is a short hash over what Meaning writes: 16 hexadecimal digits of SHA-256.
func Hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

func (b *description) value(v reflect.Value) {
	if !v.IsValid() || v.IsZero() {
		return
	}
	switch v.Type() {
	case reflect.TypeFor[Pos]():
		return
	case reflect.TypeFor[Secret]():
		if b.secrets {
			b.WriteString(v.Interface().(Secret).Reveal())
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		b.value(v.Elem())
	case reflect.Struct:
		b.WriteByte('{')
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && !v.Field(i).IsZero() && f.Type != reflect.TypeFor[Pos]() {
				b.WriteString(f.Name + ":")
				b.value(v.Field(i))
				b.WriteByte(' ')
			}
		}
		b.WriteByte('}')
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			fmt.Fprintf(b, "%q", v.Bytes())
			return
		}
		b.WriteByte('[')
		for i := range v.Len() {
			b.value(v.Index(i))
			b.WriteByte(' ')
		}
		b.WriteByte(']')
	case reflect.Map:
		keys := v.MapKeys()
		sort.Slice(keys, func(i, j int) bool { return fmt.Sprint(keys[i]) < fmt.Sprint(keys[j]) })
		b.WriteByte('{')
		for _, k := range keys {
			fmt.Fprintf(b, "%v:", k)
			b.value(v.MapIndex(k))
			b.WriteByte(' ')
		}
		b.WriteByte('}')
	default:
		fmt.Fprintf(b, "%#v", v.Interface())
	}
}
