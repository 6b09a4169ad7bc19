package pipeline

import (
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/leatdev/leat/pipeline/telemetry"
)

// trouble is what keeps a pipeline from working, by who has it: readiness tells it.
type trouble struct {
	mu sync.Mutex
	by map[string]error
}

func (t *trouble) set(who string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[string]error{}
	}
	t.by[who] = err
}

func (t *trouble) clear(who string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.by, who)
}

// clearAll forgets what everybody has whose name starts with prefix.
func (t *trouble) clearAll(prefix string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for who := range t.by {
		if strings.HasPrefix(who, prefix) {
			delete(t.by, who)
		}
	}
}

func (t *trouble) err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.by) == 0 {
		return nil
	}
	var words []string
	for who, err := range t.by {
		words = append(words, telemetry.Redact(fmt.Sprintf("%s: %v", who, err)))
	}
	sort.Strings(words)
	return fmt.Errorf("%s", strings.Join(words, "; "))
}

func (t *trouble) of(who string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.by[who]; err != nil {
		return telemetry.Redact(err.Error())
	}
	return ""
}
