// Command kube-apiserver is the upstream program itself: the tests need the
// real one, and no distribution of the developers' machines packages it.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}
