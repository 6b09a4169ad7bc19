package aws

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/leatdev/leat/pipeline/event"
)

// Kind is what an error of a call means.
type Kind uint8

// The kinds.
const (
	Unreachable Kind = iota // no answer, a broken one, or 5xx: it may be better soon
	Throttled
	Denied      // no permission, or credentials that are wrong or over
	Missing     // the queue or bus does not exist
	Invalid     // the request itself is wrong: a repeat fares no better
	Interrupted // the caller's context is done
)

var kinds = map[string]Kind{
	"ThrottlingException": Throttled, "Throttling": Throttled, "Throttled": Throttled, "ThrottledException": Throttled, "RequestThrottled": Throttled,
	"RequestThrottledException": Throttled, "ProvisionedThroughputExceededException": Throttled, "TooManyRequestsException": Throttled, "RequestLimitExceeded": Throttled, "SlowDown": Throttled,
	"OverLimit": Throttled, "KmsThrottled": Throttled, "KMS.ThrottlingException": Throttled, "LimitExceededException": Throttled,

	"AccessDenied": Denied, "AccessDeniedException": Denied, "UnrecognizedClientException": Denied, "InvalidClientTokenId": Denied,
	"SignatureDoesNotMatch": Denied, "InvalidSignatureException": Denied, "ExpiredToken": Denied, "ExpiredTokenException": Denied,
	"MissingAuthenticationToken": Denied, "MissingAuthenticationTokenException": Denied, "IncompleteSignature": Denied, "OptInRequired": Denied,
	"KmsAccessDenied": Denied, "KMS.AccessDeniedException": Denied, "InvalidSecurity": Denied, "AuthFailure": Denied,
	"NotAuthorized": Denied, "AuthorizationError": Denied, "AuthorizationErrorException": Denied, "NotAuthorizedException": Denied,

	"QueueDoesNotExist": Missing, "AWS.SimpleQueueService.NonExistentQueue": Missing, "ResourceNotFoundException": Missing, "NotFound": Missing,
	"NotFoundException": Missing, "InvalidAddress": Missing, "AWS.SimpleQueueService.QueueDeletedRecently": Missing,

	"InternalFailure": Unreachable, "InternalException": Unreachable, "InternalError": Unreachable, "InternalServerError": Unreachable,
	"ServiceUnavailable": Unreachable, "ServiceUnavailableException": Unreachable, "ServiceException": Unreachable, "RequestTimeout": Unreachable,
	"RequestTimeoutException": Unreachable, "RequestExpired": Unreachable,
}

// KindOf says what an error of a call means.
func KindOf(err error) Kind {
	if errors.Is(err, ErrNoCredentials) || errors.Is(err, ErrNoRegion) {
		return Denied
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		if k, ok := kindOfCode(api.ErrorCode()); ok {
			return k
		}
		var answer *awshttp.ResponseError
		if errors.As(err, &answer) {
			switch s := answer.HTTPStatusCode(); {
			case s == http.StatusTooManyRequests:
				return Throttled
			case s == http.StatusUnauthorized || s == http.StatusForbidden:
				return Denied
			case s >= http.StatusInternalServerError:
				return Unreachable
			}
		}
		return Invalid
	}
	if errors.Is(err, context.Canceled) {
		return Interrupted
	}
	return Unreachable
}

// KindOfCode says what the code of a single entry of a batch means.
func KindOfCode(code string) Kind {
	if k, ok := kindOfCode(code); ok {
		return k
	}
	return Invalid
}

func kindOfCode(code string) (Kind, bool) {
	k, ok := kinds[code]
	return k, ok
}

// Code gives the service's name for an error, "" where there is none.
func Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

var actionIn = regexp.MustCompile(`not authorized to perform: ([a-z0-9-]+:[A-Za-z0-9]+)`)

// Explain puts an error into words: what was done to which resource, what went wrong, what to do about it. Need is the
// action of an IAM policy that the call takes ("sqs:ReceiveMessage").
func Explain(err error, what, need string) error {
	switch KindOf(err) {
	case Denied:
		if errors.Is(err, ErrNoCredentials) || errors.Is(err, ErrNoRegion) {
			return fmt.Errorf("%s: %w", what, err)
		}
		if NotAllowed(err) {
			if m := actionIn.FindStringSubmatch(err.Error()); m != nil {
				need = m[1] // the service's own word: one call may take several
			}
			if need == "" {
				return fmt.Errorf("%s: denied: %w", what, short(err))
			}
			return fmt.Errorf("%s: denied; the role or user needs %s there: %w", what, need, short(err))
		}
		return fmt.Errorf("%s: AWS does not take the credentials: %w", what, short(err))
	case Missing:
		return fmt.Errorf("%s: does not exist in this region and account: %w", what, short(err))
	case Throttled:
		return fmt.Errorf("%s: throttled: %w", what, short(err))
	default:
		return fmt.Errorf("%s: %w", what, short(err))
	}
}

// NotAllowed reports whether the credentials are good and a policy does not let them make the call.
func NotAllowed(err error) bool {
	code := Code(err)
	return strings.HasPrefix(code, "AccessDenied") || code == "AuthorizationError" || code == "AuthorizationErrorException"
}

// AtStart is Explain for what must be there before a pipeline runs: where AWS does not answer, or says that it cannot now,
// it is event.Unavailable, so that the surroundings are at fault.
func AtStart(err error, what, need string) error {
	explained := Explain(err, what, need)
	switch KindOf(err) {
	case Unreachable, Throttled:
		return event.Unavailable(0, explained)
	}
	return explained
}

// Outage is what a sink returns where it cannot find out about what it writes to: nothing about that is an event's fault.
func Outage(err error, what, need string) error {
	if KindOf(err) == Interrupted {
		return err
	}
	return event.Unavailable(0, Explain(err, what, need))
}

// short leaves out what the SDK puts around the service's answer, or around there being none, and keeps the chain.
func short(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return &answerError{text: api.ErrorCode() + ": " + api.ErrorMessage(), err: err}
	}
	var call *url.Error
	if !errors.As(err, &call) {
		return err
	}
	host := call.URL
	if u, parseErr := url.Parse(call.URL); parseErr == nil {
		host = u.Host
	}
	text := fmt.Sprintf("no answer from %s: %v", host, call.Err)
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		text = fmt.Sprintf("there is no host %s: is the region or the endpoint right?", host)
	}
	return &answerError{text: text, err: err}
}

type answerError struct {
	text string
	err  error
}

// Is makes what is missing fs.ErrNotExist and what is denied fs.ErrPermission, by which the command line knows that its
// surroundings are at fault.
func (e *answerError) Is(target error) bool {
	k := KindOf(e.err)
	return (k == Missing && target == fs.ErrNotExist) || (k == Denied && target == fs.ErrPermission)
}

func (e *answerError) Error() string { return e.text }
func (e *answerError) Unwrap() error { return e.err }

// Outcome is what a sink returns for a call that failed whole: anything that may be better soon, or once somebody has
// mended rights or resources, is an outage, a wrong request is the batch's own.
func Outcome(err error) error {
	switch KindOf(err) {
	case Invalid:
		return event.Poison(err)
	case Interrupted:
		return err
	case Throttled:
		return event.Unavailable(throttleWait, err)
	default:
		return event.Unavailable(0, err)
	}
}

// EntryOutcome is what a sink returns for one entry of a batch.
func EntryOutcome(code string, err error) error {
	switch KindOfCode(code) {
	case Throttled:
		return event.Unavailable(throttleWait, err)
	case Unreachable, Missing, Denied:
		return event.Unavailable(0, err)
	default:
		return event.PoisonAs(event.CodeSink, err)
	}
}

// throttleWait is how long a throttled sink leaves the service alone: its rates are by the second.
const throttleWait = time.Second
