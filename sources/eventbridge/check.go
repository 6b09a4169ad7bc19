package eventbridge

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

var _ sources.Checker = Config{}

// Check implements sources.Checker: bus, rule, target, queue, policy and pattern. Where something is missing, the first
// finding has the templates and rights that it takes.
func (c Config) Check(ctx context.Context, env sources.Env) []check.Finding {
	set, err := c.connect(ctx, env)
	if err != nil {
		return []check.Finding{finding(err)}
	}
	defer set.close()
	found, err := set.look(ctx)
	if err != nil {
		return []check.Finding{finding(err)}
	}
	lacks := found.lacks
	if len(lacks) > 0 {
		if c.Provision {
			for i := range lacks {
				if !strings.HasPrefix(lacks[i].What, "the bus") { // leat makes no bus
					lacks[i].Severity, lacks[i].Mend = check.Warning, "leat makes it at its next start (provision: true)"
				}
			}
		} else {
			lacks[0].Mend += ", let leat make it (provision: true), or deploy one of these.\nCloudFormation:\n\nResources:\n" + c.CloudFormation(env.Pipeline) + "\nTerraform:\n\n" + c.Terraform(env.Pipeline)
		}
	}
	return slices.Concat(found.well, lacks, found.faults)
}

func finding(err error) check.Finding {
	if _, down := event.AsUnavailable(err); down || errors.Is(err, fs.ErrPermission) {
		return check.Unreachablef("%v", err)
	}
	return check.Problemf("%v", err)
}
