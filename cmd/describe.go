package cmd

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/config"
)

func (a *app) describeCommand() *cobra.Command {
	var d deployment
	c := &cobra.Command{
		Use:   "describe [source|step|handler|sink|store|frame] NAME [FILE…]",
		Short: "Tell everything about a plugin, a step or a frame of the language",
		Long: `Print every key with its type, default and limits, and an example: a whole pipeline file that loads.
Frames are the keys that surround plugins and steps: file, pipeline, source, step, table, ….
It is made from the code of this build, plugins of your own included. The kind may be left out where the
name says enough.

With --policy it prints the least IAM policy with which the AWS plugins of that name work, as the files
configure them (without files: as in the example); with --cloudformation or --terraform the queues, rules
and subscriptions that a source needs and that provision: true would make.`,
		Example: `  leat describe sink http
  leat describe append
  leat describe frame step
  leat describe source eventbridge --policy pipeline.yaml`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			if d.form() != "" {
				return a.deployment(args, &d)
			}
			if len(args) > 2 {
				return usagef("files say something to --policy, --cloudformation and --terraform only")
			}
			kind, name := "", args[0]
			if len(args) == 2 {
				var ok bool
				if kind, ok = singular(args[0]); !ok {
					return usagef("there is no kind %q: it is one of %s", args[0], strings.Join(config.SubjectKinds, ", "))
				}
				name = args[1]
			}
			s, err := config.Describe(kind, name)
			if err != nil {
				return usagef("%w", err)
			}
			if a.json {
				return writeLine(a.out, s)
			}
			_, err = a.out.Write(a.subject(&s))
			return err
		},
		ValidArgsFunction: completeSubjects,
	}
	f := c.Flags()
	f.BoolVar(&d.policy, "policy", false, "print the least IAM policy instead")
	f.BoolVar(&d.cloudFormation, "cloudformation", false, "print what a source needs on AWS as a CloudFormation template")
	f.BoolVar(&d.terraform, "terraform", false, "print what a source needs on AWS for Terraform")
	c.MarkFlagsMutuallyExclusive("policy", "cloudformation", "terraform")
	return c
}

// singular gives the kind that an argument names, in the singular or the plural.
func singular(arg string) (string, bool) {
	for _, k := range config.SubjectKinds {
		if arg == k || arg == k+"s" {
			return k, true
		}
	}
	return "", false
}

// subject writes a subject for people.
func (a *app) subject(s *config.Subject) []byte {
	var b bytes.Buffer
	bold := func(text string) string {
		if a.outColor() {
			return "\x1b[1m" + text + "\x1b[0m"
		}
		return text
	}
	fmt.Fprintf(&b, "%s\n", bold(s.Kind+" "+s.Name))
	if s.Doc != "" {
		writeWrapped(&b, "  ", s.Doc)
	}
	switch {
	case s.Value != "map":
		fmt.Fprintf(&b, "\n%s\n  %s\n", bold("Value"), s.Value)
	case len(s.Fields) == 0:
		fmt.Fprintf(&b, "\nThere is nothing to set: write %s: {}\n", s.Name)
	default:
		fmt.Fprintf(&b, "\n%s\n", bold("Keys"))
	}
	for _, f := range s.Fields {
		words := f.Value
		if len(f.Enum) > 0 {
			words = strings.Join(f.Enum, " | ")
		}
		if f.Required {
			words += ", required"
		}
		if l := f.Limits(); l != "" {
			words += ", " + l
		}
		if f.Default != "" {
			words += ", default " + f.Default
		}
		fmt.Fprintf(&b, "  %s  %s\n", bold(f.Name), words)
		writeWrapped(&b, "      ", f.Doc)
		if f.Example != "" {
			fmt.Fprintf(&b, "      e.g. %s\n", f.Example)
		}
	}
	switch s.Kind {
	case "source", "step":
		fmt.Fprintf(&b, "\nBeside %s stand the keys of its frame: leat describe frame %s\n", s.Name, s.Kind)
	}
	if s.Example != "" {
		fmt.Fprintf(&b, "\n%s\n", bold("Example"))
		for line := range strings.Lines(s.Example) {
			b.WriteString("  " + line)
		}
	}
	if s.Package != "" {
		fmt.Fprintf(&b, "\nfrom package %s\n", s.Package)
	}
	return b.Bytes()
}

// wrapAt is the width of words on a terminal.
const wrapAt = 100

// writeWrapped breaks text between words into lines that start with indent.
func writeWrapped(b *bytes.Buffer, indent, text string) {
	if text == "" {
		return
	}
	line := indent
	for _, w := range strings.Fields(text) {
		if len(line) > len(indent) && len([]rune(line))+1+len([]rune(w)) > wrapAt {
			b.WriteString(line + "\n")
			line = indent
		}
		if len(line) > len(indent) {
			line += " "
		}
		line += w
	}
	b.WriteString(line + "\n")
}
