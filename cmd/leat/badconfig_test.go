package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadConfig loads files whose mistakes only the real plugins know, and looks for what people are told.
func TestBadConfig(t *testing.T) {
	const appends = `steps: [ { append: { stream: "o/{{ id }}" } } ]`
	for _, tt := range []struct {
		name, file string
		want       []string
		not        string
	}{
		{
			name: "one path on the listener for two",
			file: "pipelines:\n" +
				"  p: { source: { http: { path: /in } }, " + appends + " }\n" +
				"  q: { source: { http: { path: /in, methods: [PUT, POST] } }, " + appends + " }\n" +
				"  r: { source: { http: { path: /in, methods: [PATCH] } }, " + appends + " }\n",
			want: []string{"c.yaml:3:18: error[conflict]: POST /in is taken by the pipeline p\n", "c.yaml:2:18: taken here", "\n1 error\n"},
		},
		{
			name: "both mistakes of a schedule, and the field that was meant",
			file: "pipelines: { p: { source: { schedule: { cron: \"0 25 * * *\", time_zone: Mars/Base, zone: UTC } }, " + appends + " } }\n",
			want: []string{`hour "25"`, `did you mean "time_zone"?`},
		},
		{
			name: "a forward's frame inside it, and EventBridge's word for the type",
			file: "pipelines: { p: { source: { file: { path: a } }, steps: [ { forward: { eventbridge: { bus: b, detail_type: X }, when: data.x } } ] } }\n",
			want: []string{"it is the event's type: write `type: …` beside eventbridge", "when stands beside forward, not inside it", "2 errors"},
		},
		{
			name: "a log that is read from nowhere says nothing of a loop",
			file: "pipelines: { p: { source: { event_log: { from: yesterday, until: x, stream_type: o } }, " + appends + " } }\n",
			want: []string{`from: "yesterday" is not`, `until: "x" is not`, `no field "stream_type"`, "3 errors"},
			not:  "reads what it writes",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "c.yaml"), []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			r := leat(t, dir, nil, "validate", "c.yaml").want(t, 2)
			for _, w := range tt.want {
				if !strings.Contains(r.err, w) {
					t.Errorf("no %q in\n%s", w, r.err)
				}
			}
			if tt.not != "" && strings.Contains(r.err, tt.not) {
				t.Errorf("%q in\n%s", tt.not, r.err)
			}
		})
	}
}
