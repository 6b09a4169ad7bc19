package cmd

import (
	"github.com/spf13/cobra"

	"github.com/leatdev/leat/config"
)

// completeSubjects completes the arguments of describe: a kind, then a name of it; or a name alone.
func completeSubjects(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var out []string
	switch len(args) {
	case 0:
		for _, k := range config.SubjectKinds {
			out = append(out, cobra.CompletionWithDesc(k, "a kind"))
		}
		for _, k := range config.SubjectKinds {
			for _, s := range config.Subjects(k) {
				out = append(out, cobra.CompletionWithDesc(s.Name, s.Doc))
			}
		}
	case 1:
		if kind, ok := singular(args[0]); ok {
			for _, s := range config.Subjects(kind) {
				out = append(out, cobra.CompletionWithDesc(s.Name, s.Doc))
			}
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completePlugins completes the name of a plugin of a kind.
func completePlugins(kind string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var out []string
		for _, s := range config.Subjects(kind) {
			out = append(out, cobra.CompletionWithDesc(s.Name, s.Doc))
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}
