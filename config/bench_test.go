package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkLoad loads a directory of a hundred files, each with a pipeline of six steps.
func BenchmarkLoad(b *testing.B) {
	text, err := os.ReadFile("testdata/good/trade-inventory.yaml")
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	for i := range 100 {
		s := strings.ReplaceAll(string(text), "trade-inventory", fmt.Sprintf("trade-inventory-%d", i))
		s = strings.ReplaceAll(s, "inventory:", fmt.Sprintf("inventory-%d:", i))
		s = strings.ReplaceAll(s, "table: inventory", fmt.Sprintf("table: inventory-%d", i))
		s = strings.ReplaceAll(s, "  main:", fmt.Sprintf("  main-%d:", i))
		s = strings.ReplaceAll(s, "name: small", fmt.Sprintf("name: %d small", i))
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.yaml", i)), []byte(s), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		cfg, ds := Load([]string{dir}, Options{Env: testEnv})
		if ds.HasErrors() {
			b.Fatal(ds.Err())
		}
		if len(cfg.Pipelines) != 100 {
			b.Fatal(len(cfg.Pipelines))
		}
	}
}

// BenchmarkSchema makes the JSON Schema.
func BenchmarkSchema(b *testing.B) {
	for b.Loop() {
		Schema()
	}
}

// BenchmarkHostile loads what wants to cost a lot: each stays below 50 ms.
func BenchmarkHostile(b *testing.B) {
	for _, h := range hostiles() {
		b.Run(strings.ReplaceAll(h.name, " ", "_"), func(b *testing.B) {
			for b.Loop() {
				LoadBytes("hostile.yaml", []byte(h.text), Options{Env: testEnv})
			}
		})
	}
}
