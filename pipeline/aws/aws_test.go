package aws

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"github.com/leatdev/leat/pipeline/event"
)

func api(code string) error {
	return fmt.Errorf("operation error SQS: X, https response error: %w", &smithy.GenericAPIError{Code: code, Message: "text"})
}

func TestKinds(t *testing.T) {
	for _, tt := range []struct {
		err    error
		kind   Kind
		poison bool
		down   bool
		wait   time.Duration
		words  string
	}{
		{err: api("ThrottlingException"), kind: Throttled, down: true, wait: time.Second, words: "queue q: throttled: ThrottlingException: text"},
		{err: api("AccessDeniedException"), kind: Denied, down: true, words: "queue q: denied; the role or user needs sqs:X there: AccessDeniedException: text"},
		{err: api("ExpiredToken"), kind: Denied, down: true, words: "queue q: AWS does not take the credentials: ExpiredToken: text"},
		{err: api("QueueDoesNotExist"), kind: Missing, down: true, words: "queue q: does not exist in this region and account: QueueDoesNotExist: text"},
		{err: api("InternalFailure"), kind: Unreachable, down: true, words: "queue q: InternalFailure: text"},
		{err: api("InvalidParameterValue"), kind: Invalid, poison: true, words: "queue q: InvalidParameterValue: text"},
		{err: errors.New("connection refused"), kind: Unreachable, down: true, words: "queue q: connection refused"},
		{err: ErrNoCredentials, kind: Denied, down: true, words: "queue q: no AWS credentials: set"},
		{err: context.Canceled, kind: Interrupted, words: "queue q: context canceled"},
		{err: context.DeadlineExceeded, kind: Unreachable, down: true, words: "queue q: context deadline exceeded"},
	} {
		explained := Explain(tt.err, "queue q", "sqs:X")
		if KindOf(tt.err) != tt.kind || KindOf(explained) != tt.kind || !strings.HasPrefix(explained.Error(), tt.words) {
			t.Errorf("%v: kind %d, then %d, %q", tt.err, KindOf(tt.err), KindOf(explained), explained)
		}
		if errors.Is(explained, fs.ErrNotExist) != (tt.kind == Missing || errors.Is(tt.err, ErrNoCredentials)) || errors.Is(explained, fs.ErrPermission) != (tt.kind == Denied && !errors.Is(tt.err, ErrNoCredentials)) {
			t.Errorf("%v: wrong kind for the command line", tt.err)
		}
		o := Outcome(explained)
		if after, down := event.AsUnavailable(o); down != tt.down || after != tt.wait || event.IsPoison(o) != tt.poison {
			t.Errorf("%v: outage %t after %s, poison %t", tt.err, down, after, event.IsPoison(o))
		}
	}
}

func TestEntryOutcome(t *testing.T) {
	for code, poison := range map[string]bool{
		"ThrottlingException": false, "InternalFailure": false, "InternalError": false, "InternalException": false,
		"InvalidArgument": true, "MalformedDetail": true, "NotAuthorizedForSourceException": true, "InvalidMessageContents": true, "Anything": true,
	} {
		o := EntryOutcome(code, errors.New(code))
		if _, down := event.AsUnavailable(o); event.IsPoison(o) != poison || down == poison {
			t.Errorf("%s: poison %t, outage %t", code, event.IsPoison(o), down)
		}
	}
}

func TestLoad(t *testing.T) {
	for k, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CA_BUNDLE": "", "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_CONFIG_FILE": filepath.Join(t.TempDir(), "config"),
	} {
		t.Setenv(k, v)
	}
	if err := os.WriteFile(os.Getenv("AWS_CONFIG_FILE"), []byte("[profile shop]\nregion = eu-north-1\naws_access_key_id = a\naws_secret_access_key = very-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(t.Context(), Settings{}, nil, 1); !errors.Is(err, ErrNoRegion) {
		t.Errorf("no region: %v", err)
	}
	if _, err := Load(t.Context(), Settings{Region: "eu-west-1"}, nil, 1); !errors.Is(err, ErrNoCredentials) {
		t.Errorf("no credentials: %v", err)
	}
	if _, err := Load(t.Context(), Settings{Profile: "nope"}, nil, 1); err == nil || !strings.Contains(err.Error(), "nope") {
		t.Errorf("no profile: %v", err)
	}
	cfg, err := Load(t.Context(), Settings{Profile: "shop", Endpoint: "http://127.0.0.1:1"}, nil, 20)
	if err != nil || cfg.Region != "eu-north-1" || *cfg.BaseEndpoint != "http://127.0.0.1:1" {
		t.Fatalf("%+v, %v", cfg.Region, err)
	}
	if c, ok := cfg.HTTPClient.(*http.Client); !ok || c.Transport.(*http.Transport).MaxIdleConnsPerHost < 20 {
		t.Errorf("the client keeps too few connections: %T", cfg.HTTPClient)
	}
	Close(cfg)
}

// The certificates of AWS_CA_BUNDLE, as behind a company's proxy, are those of the client.
func TestCABundle(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	t.Setenv("AWS_CA_BUNDLE", filepath.Join(t.TempDir(), "none.pem"))
	if _, err := Load(t.Context(), Settings{Region: "eu-west-1"}, nil, 1); err == nil || !strings.Contains(err.Error(), "none.pem") {
		t.Errorf("a bundle that is not there: %v", err)
	}
}

func TestCheck(t *testing.T) {
	for endpoint, ok := range map[string]bool{"": true, "http://localhost:5000": true, "https://x": true, "localhost:5000": false, "ftp://x": false, "http://": false} {
		if err := (Settings{Endpoint: endpoint}).Check(); (err == nil) != ok {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}
