package main

import (
	"testing"

	"github.com/leatdev/leat/config"
)

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
