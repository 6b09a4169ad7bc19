// Package aws is what leat's AWS plugins share: the settings of a client, and what AWS' errors mean to a pipeline.
//
// It is a leaf for plugins: it imports event, config's form of fields and the AWS SDK. Clients made here do not retry by
// themselves: a repeat is the plugin's, which knows what it costs (a receive that the SDK repeats after a broken answer
// leaves ten messages in flight unseen).
package aws

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
)

// Settings are the part of a plugin's YAML that says which AWS it talks to. Credentials come by the SDK's own ways:
// environment, shared files, container and instance roles.
type Settings struct {
	Region   string `yaml:"region,omitempty" doc:"AWS region; default: AWS_REGION, or the profile's" example:"eu-west-1"`
	Endpoint string `yaml:"endpoint,omitempty" doc:"URL of an emulator or of an endpoint of your own; default: AWS' own" example:"http://127.0.0.1:5000"`
	Profile  string `yaml:"profile,omitempty" doc:"profile of the shared AWS config files"`
}

// Check says what is wrong with the endpoint.
func (s Settings) Check() error {
	if s.Endpoint == "" {
		return nil
	}
	if u, err := url.Parse(s.Endpoint); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("%q is no http or https URL", s.Endpoint)
	}
	return nil
}

// Errors that Load gives, beside those of broken config files.
const (
	ErrNoRegion      = absence("no AWS region: set region, AWS_REGION or a profile that has one")
	ErrNoCredentials = absence("no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or run with a role")
)

// absence is something that the surroundings do not give: an fs.ErrNotExist, like a missing file.
type absence string

func (a absence) Error() string        { return string(a) }
func (a absence) Is(target error) bool { return target == fs.ErrNotExist }

// credentialsWithin bounds the search for credentials: without any, the SDK asks an instance's metadata service last.
const credentialsWithin = 10 * time.Second

// Load makes what clients are made of, and sees that there are a region and credentials. Transport carries the requests;
// nil: a pool of connections that keeps enough of them open for the given number of calls at a time.
func Load(ctx context.Context, s Settings, transport http.RoundTripper, calls int) (aws.Config, error) {
	pool := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { tune(t, calls) })
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(pool),
		config.WithLogger(logging.Nop{}), // the SDK's own lines go past leat's log; what fails is an error anyway
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
	}
	if s.Region != "" {
		options = append(options, config.WithRegion(s.Region))
	}
	if s.Endpoint != "" {
		options = append(options, config.WithBaseEndpoint(s.Endpoint))
	}
	if s.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(s.Profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return cfg, fmt.Errorf("aws: settings: %w", err)
	}
	// The pool may be another by now, with the certificates of AWS_CA_BUNDLE. A plain client of its transport can be closed.
	if p, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		pool = p
	}
	if transport == nil {
		transport = pool.GetTransport()
	}
	cfg.HTTPClient = &http.Client{Transport: transport}
	if cfg.Region == "" {
		return cfg, ErrNoRegion
	}
	ctx, cancel := context.WithTimeout(ctx, credentialsWithin)
	defer cancel()
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return cfg, fmt.Errorf("%w (%w)", ErrNoCredentials, err)
	}
	return cfg, nil
}

// Close closes the connections that nobody uses, once the clients made of cfg are done.
func Close(cfg aws.Config) {
	if c, ok := cfg.HTTPClient.(*http.Client); ok {
		c.CloseIdleConnections()
	}
}

// tune makes room for that many calls at a time: the SDK's own transport keeps ten connections to a host. An answer that
// does not start within 30 s is given up; a long poll is answered within 20.
func tune(t *http.Transport, calls int) {
	t.MaxIdleConns, t.MaxIdleConnsPerHost = calls+8, calls+8
	t.ResponseHeaderTimeout = 30 * time.Second
}
