package admin_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// chromium finds a browser, or skips the test.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if strings.Contains(os.Getenv("LEAT_TEST_REQUIRE"), "chromium") {
		t.Fatal("LEAT_TEST_REQUIRE names chromium, and there is none on the PATH")
	}
	t.Skip("NOT TESTED: the API's page in a browser, as there is no chromium here")
	return ""
}

// driver is a page of the same origin that opens the API's page in a frame and uses it as a person does.
const driver = `<!doctype html><body><iframe id=f src="/openapi/#append-events" width=1000 height=1500></iframe><script>
const until = async (f) => { for (;;) { try { const v = f(); if (v) return v } catch {} await new Promise(r => setTimeout(r, 20)) } };
(async () => {
  const page = () => document.getElementById("f").contentDocument;
  await until(() => page().body.dataset.ready);
  const send = async (id, fill) => {
    const box = page().getElementById(id);
    box.open = true;
    const button = await until(() => box.querySelector(".send"));
    fill(box);
    button.click();
    const out = await until(() => box.querySelector(".answer[data-done]"));
    return out.textContent;
  };
  const key = page().getElementById("key");
  key.value = "KEY";
  let text = await send("append-events", (box) => {
    box.querySelector("input[name=store]").value = "main";
    box.querySelector("input[name=stream]").value = "order/ü &1";
    box.querySelector("textarea").value = JSON.stringify({ events: [{ type: "Made <&>" }] });
  });
  text += await send("read-events", (box) => { box.querySelector("input[name=type]").value = "Made <&>"; });
  text += page().querySelectorAll("details").length + " operations";
  await fetch("/driven", { method: "POST", body: text + " DONE" });
})();
</script>`

// shown is a page that anybody may load.
type shown struct{ html string }

func (shown) Authenticates() bool { return true }

func (s shown) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, s.html)
}

// told takes what the driver's page says.
type told struct{ said chan<- string }

func (told) Authenticates() bool { return true }

func (s told) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case s.said <- string(b):
	default: // once is enough
	}
}

// profile is a folder for a browser, whose processes may still write into it as they are killed.
func profile(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "leat-browser-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// The page works in a browser that reaches nothing but the daemon: it lists the operations and sends requests.
func TestPageInABrowser(t *testing.T) {
	browser := chromium(t)
	s := guarded(t, nil)
	if _, err := s.Mount("GET /driver", shown{strings.Replace(driver, "KEY", writeKey, 1)}); err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 1)
	if _, err := s.Mount("POST /driven", told{done}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	// Neither --dump-dom, which does not wait for what scripts do, nor --virtual-time-budget, which a busy machine does not
	// keep up with: the page tells when it is done, and the browser stays until it is ended. The port keeps it open.
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-port=0",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--user-data-dir="+profile(t), srv.URL+"/driver")
	said := &strings.Builder{}
	cmd.Stderr, cmd.WaitDelay = said, 10*time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var text string
	select {
	case text = <-done:
		cancel()
		<-ended
	case err := <-ended:
		t.Fatalf("the browser ended before the page was done: %v: %.2000s", err, said)
	}
	for _, want := range []string{`"stream": "order/ü &1"`, `"first": 1`, `"type":"Made <&>"`, " operations DONE"} {
		if !strings.Contains(text, want) {
			t.Errorf("the browser does not show %s, but %.4000s", want, text)
		}
	}
}

// Nothing of the page comes from elsewhere, and nothing of it may reach elsewhere.
func TestPageStandsAlone(t *testing.T) {
	r := run(t)
	elsewhere := regexp.MustCompile(`(?:src|href|url|import|fetch)\s*[=(]\s*["']?(?:https?:)?//`)
	for path, kind := range map[string]string{"/openapi/": "text/html", "/openapi/page.js": "text/javascript", "/openapi/style.css": "text/css"} {
		a := r.do(t, "GET", path, "")
		if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), kind) || !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
		if found := elsewhere.FindString(a.body); found != "" {
			t.Errorf("%s loads from elsewhere: %s", path, found)
		}
	}
	for path, status := range map[string]int{"/openapi": 307, "/openapi/nothing": 404, "/openapi/openapi-spec.json": 200, "/openapi/../metrics": 307} {
		if a := r.do(t, "GET", path, ""); a.status != status {
			t.Errorf("%s: %d, want %d", path, a.status, status)
		}
	}
}
