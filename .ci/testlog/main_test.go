package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	const run, pass = `{"Action":"run","Package":"p","Test":"TestA"}` + "\n", `{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}` + "\n"
	out := func(test, text string) string {
		return `{"Action":"output","Package":"p","Test":"` + test + `","Output":"` + text + `\n"}` + "\n"
	}
	end := func(action string) string { return `{"Action":"` + action + `","Package":"p","Elapsed":0.1}` + "\n" }
	for _, tt := range []struct {
		name, in, want string
		ok             bool
	}{
		{
			name: "passed", ok: true,
			in:   "go vet ./...\n" + run + out("TestA", "=== RUN   TestA") + out("TestA", "said") + out("TestA", "--- PASS: TestA (0.00s)") + pass + out("", "PASS") + out("", "ok  \\tp\\t0.1s") + end("pass"),
			want: "go vet ./...\nok  \tp\t0.1s\n\n== summary: 1 packages ok, 0 failed, 0 without tests; 1 tests, 0 failed, 0 skipped\n",
		},
		{
			name: "skipped",
			in: run + out("TestA", "=== RUN   TestA") + out("TestA", "    a_test.go:7: no moon") + out("TestA", "--- SKIP: TestA (0.00s)") +
				strings.Replace(pass, "pass", "skip", 1) + out("", "ok  \\tp\\t0.1s") + end("pass"),
			want: "ok  \tp\t0.1s\n\n== summary: 1 packages ok, 0 failed, 0 without tests; 1 tests, 0 failed, 1 skipped\nskipped: p TestA: a_test.go:7: no moon\n",
		},
		{
			name: "failed",
			in:   run + out("TestA", "=== RUN   TestA") + out("TestA", "    a_test.go:7: bad") + out("TestA", "--- FAIL: TestA (0.00s)") + strings.Replace(pass, "pass", "fail", 1) + out("", "FAIL\\tp\\t0.1s") + end("fail"),
			want: "    a_test.go:7: bad\n--- FAIL: TestA (0.00s)\nFAIL\tp\t0.1s\n\n== summary: 0 packages ok, 1 failed, 0 without tests; 1 tests, 1 failed, 0 skipped\nfailed: p TestA\n",
		},
		{
			name: "a panic in it",
			in:   run + out("TestA", "panic: oh") + out("", "FAIL\\tp\\t0.1s") + end("fail"),
			want: "FAIL\tp\t0.1s\npanic: oh\n\n== summary: 0 packages ok, 1 failed, 0 without tests; 1 tests, 1 failed, 0 skipped\nfailed: p TestA\n",
		},
		{
			name: "the run cut off",
			in:   run + out("TestA", "began"),
			want: "began\n\n== summary: 0 packages ok, 0 failed, 0 without tests; 1 tests, 1 failed, 0 skipped\nfailed: p TestA\n",
		},
		{
			name: "no build",
			in: `{"ImportPath":"p","Action":"build-output","Output":"a.go:1: no\n"}` + "\n" + `{"ImportPath":"p","Action":"build-fail"}` + "\n" +
				out("", "FAIL\\tp [build failed]") + end("fail"),
			want: "a.go:1: no\nFAIL\tp [build failed]\n\n== summary: 0 packages ok, 1 failed, 0 without tests; 0 tests, 0 failed, 0 skipped\n",
		},
		{
			name: "no tests at all", // vet has refused, and nothing was run
			in:   "make: *** [Makefile:28: test] Error 1\n",
			want: "make: *** [Makefile:28: test] Error 1\n\n== summary: 0 packages ok, 0 failed, 0 without tests; 0 tests, 0 failed, 0 skipped\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got strings.Builder
			ok, err := read(strings.NewReader(tt.in), &got)
			if err != nil || ok != tt.ok {
				t.Errorf("ok %v (%v), want %v", ok, err, tt.ok)
			}
			if diff := cmp.Diff(tt.want, got.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
