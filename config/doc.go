// Package config reads pipeline files: files → parse → interpolate → decode → validate → a Config, or Diagnostics.
//
// It promises that every mistake of every file is found in one run, each with file, line, column, a stable code, the
// offending text under a caret and, where there is one, the line to write instead; that a value of the environment can
// inject neither YAML nor code; that no secret reaches a message, a snippet or a dump; and that no file, however
// hostile, takes more than moments or megabytes to refuse.
//
// The structs of the language are in language.go and types.go, what plugins register in plugin.go. From these structs
// and their tags come decoding, the JSON Schema (Schema) and the printed form (Print). The tags are
//
//	yaml:"name,omitempty"   the field's name; without omitempty and default it must be given; ,inline flattens a struct
//	doc:"…" example:"…"     words for people, for the schema and the reference
//	default:"…"             what stands there when nothing is written; may hold ${VAR:-value}
//	enum:"a,b"              the only words allowed
//	min:"1" max:"10"        bounds of numbers, durations and sizes (without min: not negative)
//	want:"bool" sees:"…"    what an expression gives and sees (Expr)
//	plugin:"sink"           the kind of a Plugin
//
// and a field `_ struct{}` says with its doc tag, in a line, what the plugin is, and with its example tag what an example
// of it looks like where its fields' examples do not go together.
//
// To add a step: its struct in language.go, an entry in steps.go, an example in examples.go. To add a code: codes.go. The import of the YAML
// parser stays in this package. It may import the leaves event, filter and pattern, never a plugin or the engine.
package config
