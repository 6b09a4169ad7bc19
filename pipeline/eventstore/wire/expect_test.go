package wire_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

func TestExpect(t *testing.T) {
	for text, want := range map[string]string{`"any"`: "any", `"7"`: "7", `7`: "7", `0`: "0", `-1`: "-1", `""`: ""} {
		var a wire.AppendTo
		if err := json.Unmarshal([]byte(`{"expect":`+text+`}`), &a); err != nil || string(a.Expect) != want {
			t.Errorf("%s: %q, %v", text, a.Expect, err)
		}
	}
	for _, text := range []string{"1.5", "true", "{}", "[1]"} {
		var a wire.Append
		if err := json.Unmarshal([]byte(`{"expect":`+text+`}`), &a); err == nil || !strings.Contains(err.Error(), "not "+text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
