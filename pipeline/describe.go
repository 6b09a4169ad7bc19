package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/leatdev/leat/config"
)

// describe writes out what a piece of configuration means: every field that is set, by name, without places in files
// and without secrets. Two pieces that mean the same give the same text.
func describe(v any) string {
	var b strings.Builder
	describeValue(&b, reflect.ValueOf(v))
	return b.String()
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

func describeValue(b *strings.Builder, v reflect.Value) {
	if !v.IsValid() || v.IsZero() {
		return
	}
	switch v.Type() {
	case reflect.TypeFor[config.Pos](), reflect.TypeFor[config.Secret]():
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		describeValue(b, v.Elem())
	case reflect.Struct:
		b.WriteByte('{')
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && !v.Field(i).IsZero() && f.Type != reflect.TypeFor[config.Pos]() {
				b.WriteString(f.Name + ":")
				describeValue(b, v.Field(i))
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
			describeValue(b, v.Index(i))
			b.WriteByte(' ')
		}
		b.WriteByte(']')
	case reflect.Map:
		keys := v.MapKeys()
		sort.Slice(keys, func(i, j int) bool { return fmt.Sprint(keys[i]) < fmt.Sprint(keys[j]) })
		b.WriteByte('{')
		for _, k := range keys {
			fmt.Fprintf(b, "%v:", k)
			describeValue(b, v.MapIndex(k))
			b.WriteByte(' ')
		}
		b.WriteByte('}')
	default:
		fmt.Fprintf(b, "%#v", v.Interface())
	}
}
