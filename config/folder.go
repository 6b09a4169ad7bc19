package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/pipeline/schemas"
)

// folder is a folder of schemas as it was read, once for all steps that name it.
type folder struct {
	set *schemas.Set
	err error
}

func decodeValidate(_ *pipelineScope, c scope, e entry, s *Step) bool {
	s.Validate = &Validate{}
	ok := c.stepStruct(e, "validate", reflect.ValueOf(s.Validate).Elem())
	m, found := c.member(e.val, "schema")
	if !found || s.Validate.Schema == "" || strings.Contains(s.Validate.Schema, "${") {
		return ok && found
	}
	return c.in("schema").schemas(deref(m.val), s.Validate) && ok
}

// schemas reads a folder of schemas, so that what is wrong with one of them shows now.
func (c scope) schemas(n *yaml.Node, v *Validate) bool {
	name := v.Folder(Pos{File: c.f.name})
	f, known := c.l.folders[name]
	if !known {
		open := c.l.opts.Folder
		if open == nil {
			open = os.DirFS
		}
		c.l.seeFolder(name) // before it is read: what changes meanwhile is a change
		f.set, f.err = schemas.Load(open(name))
		c.l.folders[name] = f
	}
	if f.err == nil {
		v.Sum = f.set.Sum()
		return true
	}
	var broken *schemas.FileError
	switch {
	case errors.Is(f.err, fs.ErrNotExist) && !errors.As(f.err, &broken):
		c.fail(n, CodeFile, fmt.Sprintf("there is no folder %s", name), "it is relative to the file that names it")
	case errors.Is(f.err, schemas.ErrEmpty):
		c.fail(n, CodeFile, fmt.Sprintf("the folder %s has no schemas: %v", name, f.err), "for example "+v.Schema+"/OrderCreated/1.json")
	case !errors.As(f.err, &broken):
		c.fail(n, CodeFile, fmt.Sprintf("the folder %s cannot be read: %s", name, reason(f.err)), "")
	default:
		for _, err := range unjoin(f.err) {
			c.fail(n, CodeSchema, err.Error(), "")
		}
	}
	return false
}

// seeFolder tells of the folder, for who waits for changes.
func (l *loader) seeFolder(name string) {
	if l.opts.SeenFolder != nil && l.opts.Folder == nil {
		l.opts.SeenFolder(name)
	}
}

func unjoin(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	return []error{err}
}

// lookupUse is a lookup whose table is to be known once all pipelines are.
type lookupUse struct {
	c    scope
	n    *yaml.Node
	step *Lookup
}

func decodeLookup(_ *pipelineScope, c scope, e entry, s *Step) bool {
	s.Lookup = &Lookup{}
	x := s.Lookup
	whole := c.stepStruct(e, "lookup", reflect.ValueOf(x).Elem())
	before := len(c.l.diags)
	if m, ok := c.member(e.val, "key"); ok && len(x.Key) == 0 && whole {
		c.in("key").fail(m.key, CodeMissingField, "key names no column", "for example `key: { id: data.customer_id }`")
	}
	if m, ok := c.member(e.val, "into"); ok && (whole || x.Into != "") && !strings.Contains(x.Into, "${") {
		in, n := c.in("into"), deref(m.val)
		if root, rest, parts := strings.Cut(x.Into, "."); (root != "data" && root != "metadata") || (parts && contains(strings.Split(rest, "."), "")) {
			in.fail(n, CodeBadValue, fmt.Sprintf("a row cannot go into %q", x.Into), "a path within data or metadata, for example data."+x.Table)
		}
	}
	if m, ok := c.member(e.val, "store"); ok && x.Store != "" && !strings.Contains(x.Store, "${") {
		c.l.usedStores[x.Store] = true
		if !contains(c.l.storeNames, x.Store) && x.Store != "main" {
			c.in("store").fail(deref(m.val), CodeUnknownName, fmt.Sprintf("no store is called %q", x.Store), suggestOr(x.Store, append(c.l.storeNames, "main"), "stores: "))
		}
	}
	if m, ok := c.member(e.val, "table"); ok && (whole || x.Table != "") && !strings.Contains(x.Table, "${") {
		c.l.lookups = append(c.l.lookups, lookupUse{c, e.val, x})
		if def := c.l.cfg.Tables[x.Table]; def == nil {
			c.in("table").tableName(deref(m.val), x.Table)
		} else if len(def.Columns) > 0 {
			var names []string
			for _, col := range def.Columns {
				names = append(names, col.Name)
			}
			for i, k := range x.Key.names() {
				if !contains(names, k) {
					c.in("key").fail(c.member2(e.val, "key", k, i), CodeUnknownName, fmt.Sprintf("the table %s has no column %q", x.Table, k), suggestOr(k, names, "columns: "))
				}
			}
			for i, k := range x.Columns {
				if !contains(names, k) {
					c.in("columns").fail(c.member2(e.val, "columns", k, i), CodeUnknownName, fmt.Sprintf("the table %s has no column %q", x.Table, k), suggestOr(k, names, "columns: "))
				}
			}
		}
	}
	return whole && !errorsIn(c.l.diags[before:])
}

// Keeping is what config structs of handlers implement that keep states in tables.
type Keeping interface {
	// StateTables names the tables, without those that are not set.
	StateTables() []string
}

// checkLookups looks for tables that nobody writes or declares.
func (l *loader) checkLookups() {
	if len(l.lookups) == 0 {
		return
	}
	known := tableNames(l.cfg.Tables)
	known = append(known, l.writerNames...)
	for _, p := range l.cfg.Pipelines {
		for _, s := range AllSteps(p.Steps) {
			if s.Handle == nil {
				continue
			}
			if k, ok := s.Handle.Config.(Keeping); ok {
				known = append(known, k.StateTables()...)
			}
		}
	}
	for _, u := range l.lookups {
		l.usedTables[u.step.Table] = true
		if contains(known, u.step.Table) {
			continue
		}
		m, _ := u.c.member(u.n, "table")
		hint := didYouMean(u.step.Table, known)
		if hint == "" {
			hint = "one that others write is declared under tables"
		}
		u.c.in("table").fail(deref(m.val), CodeUnknownName, fmt.Sprintf("no projection writes a table %q, and tables does not declare it", u.step.Table), hint)
	}
}
