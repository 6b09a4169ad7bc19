package main

import (
	"testing"

	"github.com/leatdev/leat/config"
)

// Everything that leat lists says what it is.
func TestEverythingSaysWhatItIs(t *testing.T) {
	for _, kind := range config.SubjectKinds {
		for _, s := range config.Subjects(kind) {
			if s.Doc == "" {
				t.Errorf("%s %s: give its struct a field _ struct{} with a doc tag", kind, s.Name)
			}
			for _, f := range s.Fields {
				if f.Doc == "" {
					t.Errorf("%s %s: the key %s has no doc tag", kind, s.Name, f.Name)
				}
			}
		}
	}
}

// Every example of the standard plugins loads without a word.
func TestExamplesOfPlugins(t *testing.T) {
	for _, kind := range config.SubjectKinds {
		for _, s := range config.Subjects(kind) {
			got, err := config.Describe(kind, s.Name)
			if err != nil || got.Example == "" {
				t.Errorf("%s %s has no example that loads: give its fields example tags (%v)", kind, s.Name, err)
			}
		}
	}
}

// Every standard plugin can be begun with `leat new`.
func TestStarters(t *testing.T) {
	for _, kind := range []config.Kind{config.KindSource, config.KindSink, config.KindStore} {
		for _, p := range config.Plugins(kind) {
			got, err := config.Starter(kind, p.Name)
			if err != nil {
				t.Error(err)
			}
			t.Log(got)
		}
	}
}
