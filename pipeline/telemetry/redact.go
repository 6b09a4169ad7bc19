package telemetry

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/leatdev/leat/config"
)

const mask = "***"

// minSecret is the shortest text that Hide takes: hiding a single letter would mask every log line and say where the
// secret's letters are.
const minSecret = 4

// secrets are process-wide, as a secret must be hidden wherever it turns up: a log, an error on the terminal, an
// answer of the API.
var secrets struct {
	mu       sync.Mutex
	known    map[string]bool
	replacer atomic.Pointer[strings.Replacer]
}

// Hide makes Redact mask these texts from now on, also where they are quoted or escaped as JSON, Go or URL text.
// Texts of fewer than four bytes are not taken.
func Hide(values ...string) {
	secrets.mu.Lock()
	defer secrets.mu.Unlock()
	if secrets.known == nil {
		secrets.known = map[string]bool{}
	}
	for _, v := range values {
		if len(v) >= minSecret {
			for _, form := range spellings(v) {
				secrets.known[form] = true
			}
		}
	}
	if len(secrets.known) == 0 {
		return
	}
	// strings.Replacer tries its pairs in their order, and only the longest of several that share a beginning hides all.
	forms := slices.SortedFunc(maps.Keys(secrets.known), func(a, b string) int {
		return cmp.Or(len(b)-len(a), strings.Compare(a, b))
	})
	pairs := make([]string, 0, 2*len(forms))
	for _, form := range forms {
		pairs = append(pairs, form, mask)
	}
	secrets.replacer.Store(strings.NewReplacer(pairs...))
}

func spellings(v string) []string {
	out := []string{v, url.QueryEscape(v), url.PathEscape(v)}
	out = append(out, strings.Trim(strconv.Quote(v), `"`))
	if b, err := json.Marshal(v); err == nil {
		out = append(out, strings.Trim(string(b), `"`))
	}
	return out
}

// HideSecrets hides every config.Secret that is reachable from v: the whole config is meant to go in once it is loaded.
func HideSecrets(v any) {
	var found []string
	collect(reflect.ValueOf(v), &found, 0)
	Hide(found...)
}

var secretType = reflect.TypeFor[config.Secret]()

func collect(v reflect.Value, found *[]string, depth int) {
	if !v.IsValid() || depth > 32 {
		return
	}
	if v.Type() == secretType {
		// Through the field, as a Secret in an unexported field of a plugin's struct gives no interface.
		*found = append(*found, v.Field(0).String())
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		collect(v.Elem(), found, depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			collect(v.Field(i), found, depth+1)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			collect(v.Index(i), found, depth+1)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			collect(v.MapIndex(k), found, depth+1)
		}
	}
}

// The shapes of secrets that nobody told us of. None of them eats a quote or a backslash, so that a redacted JSON line
// is still one.
var shapes = []struct {
	trigger string // lower case; without it in the text the expression is not tried
	re      *regexp.Regexp
	with    string
}{
	{"://", regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/?#"'\\@]+(?:@[^\s/?#"'\\@]*)*@`), "${1}" + mask + "@"},
	{"bearer", regexp.MustCompile(`(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{4,}`), "${1}" + mask},
	{"basic", regexp.MustCompile(`(?i)\b(authorization["']?\s*[:=]\s*["']?basic\s+)[A-Za-z0-9+/=]+`), "${1}" + mask},
	{"akia", regexp.MustCompile(`\bAKIA[A-Z0-9]{16}\b`), mask},
	{"asia", regexp.MustCompile(`\bASIA[A-Z0-9]{16}\b`), mask},
	{"secret", regexp.MustCompile(`(?i)(aws_?secret_?access_?key\\?["']?\s*[:=]\s*\\?["']?)[A-Za-z0-9/+=]{16,}`), "${1}" + mask},
	{"x-amz-", regexp.MustCompile(`(?i)(X-Amz-(?:Signature|Security-Token|Credential)=)[^\s&"'\\]+`), "${1}" + mask},
	{"pass", regexp.MustCompile(`(?i)(\b(?:password|passwd|passphrase)\\?["']?\s*[:=]\s*\\?["']?)[^\s&;,"'\\}]+`), "${1}" + mask},
}

// Redact masks secrets in s: those that Hide was told of, credentials in URLs, bearer and basic authorization, AWS
// keys and signatures, and passwords of connection strings.
func Redact(s string) string {
	if r := secrets.replacer.Load(); r != nil {
		s = r.Replace(s)
	}
	lower := ""
	for i := range shapes {
		if lower == "" {
			lower = strings.ToLower(s)
		}
		if strings.Contains(lower, shapes[i].trigger) {
			s = shapes[i].re.ReplaceAllString(s, shapes[i].with)
		}
	}
	return s
}
