// Package schemas checks events against a folder of JSON Schemas: <folder>/<type>/<version>.json, each for the payload of
// events of one type in one version.
//
// All schemas are read and compiled at once, so that a mistake in any of them shows at the start. A type that cannot be the
// name of a folder is percent-encoded. References lead to other files of the folder; nothing is fetched from elsewhere.
// Formats ("date-time", "uuid", …) are checked, not only noted.
package schemas

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Bounds of a folder.
const (
	maxFiles    = 10000
	maxFileSize = 1 << 20
)

// Set is a folder of schemas. It is safe for concurrent use.
type Set struct {
	types map[string][]version // sorted, the newest last
	sum   string
}

type version struct {
	name   string
	schema *jsonschema.Schema
}

// FileError is a schema that cannot be used.
type FileError struct {
	File string // within the folder
	Err  error
}

// Error implements error.
func (e *FileError) Error() string { return e.File + ": " + e.Err.Error() }

// Unwrap implements errors.Unwrap.
func (e *FileError) Unwrap() error { return e.Err }

// ErrEmpty says that the folder holds no schema.
var ErrEmpty = errors.New("there is no <type>/<version>.json in it")

// base is where the schemas seem to lie for references.
const base = "leat:///"

// Load reads a folder. The error joins a *FileError for each broken file.
func Load(dir fs.FS) (*Set, error) {
	names, err := list(dir)
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.UseLoader(closed{})
	h := sha256.New()
	var errs []error
	usable := names[:0:0]
	for _, name := range names {
		if _, err := url.PathUnescape(name); err != nil {
			errs = append(errs, &FileError{name, fmt.Errorf("its name is no percent-encoded type: %w", err)})
			continue
		}
		doc, err := read(dir, name, h)
		if err == nil {
			err = c.AddResource(base+name, doc)
		}
		if err != nil {
			errs = append(errs, &FileError{name, bare(err)})
			continue
		}
		usable = append(usable, name)
	}
	s := &Set{types: map[string][]version{}, sum: hex.EncodeToString(h.Sum(nil)[:8])}
	for _, name := range usable {
		folder, file := path.Split(name)
		folder = strings.TrimSuffix(folder, "/")
		if folder == "" || strings.Contains(folder, "/") {
			continue // a part that others refer to
		}
		typ, _ := url.PathUnescape(folder)
		compiled, err := c.Compile(base + name)
		if err != nil {
			errs = append(errs, &FileError{name, bare(err)})
			continue
		}
		s.types[typ] = append(s.types[typ], version{strings.TrimSuffix(file, ".json"), compiled})
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if len(s.types) == 0 {
		return nil, ErrEmpty
	}
	for _, versions := range s.types {
		slices.SortFunc(versions, func(a, b version) int { return compare(a.name, b.name) })
	}
	return s, nil
}

func read(dir fs.FS, name string, h io.Writer) (any, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFileSize {
		return nil, fmt.Errorf("it is larger than %d bytes", maxFileSize)
	}
	fmt.Fprintf(h, "%s %d\n", name, len(b))
	_, _ = h.Write(b)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("it is no JSON: %w", err)
	}
	return doc, nil
}

// closed is a loader that knows nothing beside what was read.
type closed struct{}

func (closed) Load(at string) (any, error) {
	if name, ok := strings.CutPrefix(at, base); ok {
		return nil, fmt.Errorf("there is no file %s in the folder", name)
	}
	return nil, fmt.Errorf("%s lies outside of the folder, and nothing is fetched", at)
}

// bare takes the base out of a compiler's words.
func bare(err error) error {
	text := strings.ReplaceAll(err.Error(), base, "")
	var bad *jsonschema.SchemaValidationError
	var fault *jsonschema.ValidationError
	if errors.As(err, &bad) && errors.As(bad.Err, &fault) {
		text = "it is no JSON Schema: " + describe(fault)
	}
	return errors.New(strings.Join(strings.Fields(text), " "))
}

// Sum is the same for the same files.
func (s *Set) Sum() string { return s.sum }

// Types lists the types that have schemas.
func (s *Set) Types() []string {
	var out []string
	for t := range s.types {
		out = append(out, t)
	}
	slices.Sort(out)
	return out
}

// UnknownError says that there is no schema for a type, or none of a version.
type UnknownError struct {
	Type    string
	Version string // "" where the type has none at all
	Have    []string
}

// Error implements error.
func (e *UnknownError) Error() string {
	if e.Version == "" {
		return fmt.Sprintf("there is no schema for events of type %q", e.Type)
	}
	return fmt.Sprintf("there is no version %q of %s; there are %s", e.Version, e.Type, strings.Join(e.Have, ", "))
}

// InvalidError says how a payload differs from its schema.
type InvalidError struct {
	Type, Version string
	// Faults are places and reasons, the first few: "/lines/0/qty: minimum: got 0, want 1".
	Faults []string
}

// Error implements error.
func (e *InvalidError) Error() string {
	return fmt.Sprintf("%s version %s: %s", e.Type, e.Version, strings.Join(e.Faults, "; "))
}

// Check compares a payload with the schema of its type and version ("": the newest). The error is an *UnknownError or an
// *InvalidError.
func (s *Set) Check(typ, want string, data []byte) error {
	versions := s.types[typ]
	if len(versions) == 0 {
		return &UnknownError{Type: typ}
	}
	v := versions[len(versions)-1]
	if want != "" {
		i := slices.IndexFunc(versions, func(v version) bool { return compare(v.name, want) == 0 })
		if i < 0 {
			e := &UnknownError{Type: typ, Version: want}
			for _, v := range versions {
				e.Have = append(e.Have, v.name)
			}
			return e
		}
		v = versions[i]
	}
	if len(data) == 0 {
		data = []byte("null")
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return &InvalidError{typ, v.name, []string{"it is no JSON: " + err.Error()}}
	}
	if err := v.schema.Validate(instance); err != nil {
		var fault *jsonschema.ValidationError
		if !errors.As(err, &fault) {
			return &InvalidError{typ, v.name, []string{err.Error()}}
		}
		return &InvalidError{typ, v.name, faults(fault)}
	}
	return nil
}

// maxFaults bounds how many of a payload's faults are told.
const maxFaults = 5

func faults(e *jsonschema.ValidationError) (out []string) {
	all := e.BasicOutput().Errors
	left := 0
	for i := range all {
		u := &all[i]
		if u.Error == nil || holds(all, i) {
			continue
		}
		if len(out) == maxFaults {
			left++
			continue
		}
		at := u.InstanceLocation
		if at == "" {
			at = "/"
		}
		keyword := u.KeywordLocation[strings.LastIndexByte(u.KeywordLocation, '/')+1:]
		text := at + ": "
		if keyword != "" {
			text += keyword + ": "
		}
		out = append(out, shorten(text+u.Error.String()))
	}
	if left > 0 {
		out = append(out, fmt.Sprintf("and %d more", left))
	}
	return out
}

// holds reports whether another fault stands within this one: that one says more.
func holds(all []jsonschema.OutputUnit, i int) bool {
	for j := range all {
		if j != i && all[j].Error != nil && strings.HasPrefix(all[j].KeywordLocation, all[i].KeywordLocation+"/") {
			return true
		}
	}
	return false
}

func describe(e *jsonschema.ValidationError) string {
	if f := faults(e); len(f) > 0 {
		return strings.Join(f, "; ")
	}
	return e.Error()
}

// shorten bounds a text that may repeat a value of the event.
func shorten(s string) string {
	if r := []rune(s); len(r) > 200 {
		return string(r[:199]) + "…"
	}
	return s
}

// compare orders versions: 1, 2, 10, 10.1, v11; a leading v means nothing.
func compare(a, b string) int {
	as, bs := strings.Split(strings.TrimPrefix(a, "v"), "."), strings.Split(strings.TrimPrefix(b, "v"), ".")
	for i := range max(len(as), len(bs)) {
		x, y := "0", "0"
		if i < len(as) {
			x = as[i]
		}
		if i < len(bs) {
			y = bs[i]
		}
		n, err1 := strconv.ParseUint(x, 10, 63)
		m, err2 := strconv.ParseUint(y, 10, 63)
		order := cmp.Compare(n, m)
		if err1 != nil || err2 != nil {
			order = strings.Compare(x, y)
		}
		if order != 0 {
			return order
		}
	}
	return 0
}
