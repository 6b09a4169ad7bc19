// Package aws is what leat's AWS plugins share: the settings of a client, and what AWS' errors mean to a pipeline.
//
// It is a leaf for plugins: it imports event, config and the AWS SDK. Clients made here do not retry by
// themselves: a repeat is the plugin's, which knows what it costs (a receive that the SDK repeats after a broken answer
// leaves ten messages in flight unseen).
package aws

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	leat "github.com/leatdev/leat/config"
)

func init() { leat.RegisterSettings[Settings]("aws") }

// Settings are the part of a plugin's YAML that says which AWS it talks to; what a plugin leaves out is taken from the
// file's top-level `aws`. Credentials come by the SDK's own ways: environment, shared files, container and instance roles.
type Settings struct {
	Region     string `yaml:"region,omitempty" doc:"AWS region; default: AWS_REGION, or the profile's" example:"eu-west-1"`
	Endpoint   string `yaml:"endpoint,omitempty" doc:"URL of an emulator or of an endpoint of your own; default: AWS' own" example:"http://127.0.0.1:5000"`
	Profile    string `yaml:"profile,omitempty" doc:"profile of the shared AWS config files"`
	AssumeRole Role   `yaml:"assume_role,omitempty" doc:"a role that is taken on with the credentials found"`
	Attempts   int    `yaml:"attempts,omitempty" min:"1" max:"20" doc:"how often a call at the start is tried while AWS throttles or does not answer; default: 4. Reading and writing go on trying for as long as the pipeline runs"`
}

// Role is a role to take on (sts:AssumeRole). Its credentials are renewed by themselves.
type Role struct {
	ARN        string      `yaml:"arn,omitempty" doc:"ARN of the role" example:"arn:aws:iam::123456789012:role/leat"`
	ExternalID leat.Secret `yaml:"external_id,omitempty" doc:"external id that the role's trust policy asks for"`
	Session    string      `yaml:"session,omitempty" doc:"name of the session, as CloudTrail shows it; default: leat"`
}

var (
	roleARN     = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+$`)
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
)

// Validate implements config.Validator.
func (r Role) Validate() error {
	switch {
	case r.ARN != "" && !roleARN.MatchString(r.ARN):
		return &leat.FieldError{Field: "arn", Err: fmt.Errorf("%q is no ARN of a role, like arn:aws:iam::123456789012:role/leat", r.ARN)}
	case r.Session != "" && !sessionName.MatchString(r.Session):
		return &leat.FieldError{Field: "session", Err: fmt.Errorf("%q is no session name: 2 to 64 letters, digits and + = , . @ _ -", r.Session)}
	}
	return nil
}

// Validate implements config.Validator, for the file's top-level `aws`.
func (s Settings) Validate() error {
	if err := s.Check(); err != nil {
		return &leat.FieldError{Field: "endpoint", Err: err}
	}
	return nil
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
	if s.AssumeRole.ARN != "" {
		cfg.Credentials = assume(cfg, s.AssumeRole)
	}
	ctx, cancel := context.WithTimeout(ctx, credentialsWithin)
	defer cancel()
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		if s.AssumeRole.ARN != "" && Code(err) != "" {
			return cfg, fmt.Errorf("aws: %w", Explain(err, "role "+s.AssumeRole.ARN, "sts:AssumeRole"))
		}
		return cfg, fmt.Errorf("%w (%w)", ErrNoCredentials, err)
	}
	return cfg, nil
}

// assume gives credentials of a role, asked for again before they are over.
func assume(cfg aws.Config, r Role) aws.CredentialsProvider {
	return aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), r.ARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = r.Session
		if r.Session == "" {
			o.RoleSessionName = "leat"
		}
		if id := r.ExternalID.Reveal(); id != "" {
			o.ExternalID = &id
		}
	}))
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
