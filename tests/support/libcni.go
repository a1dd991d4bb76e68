// SPDX-License-Identifier: Apache-2.0

// Calls the plugins of a CNI network through libcni: one command for one container, its result on standard output.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

func main() {
	command := flag.String("command", "", "add, check, del, cached or validate")
	conflist := flag.String("conflist", "", "file of the network config list")
	plugins := flag.String("plugins", "", "directory of the plugins")
	cache := flag.String("cache", "", "directory of the results")
	capabilities := flag.String("capabilities", "{}", "runtimeConfig, as JSON")
	runtime := &libcni.RuntimeConf{}
	flag.StringVar(&runtime.ContainerID, "container", "", "")
	flag.StringVar(&runtime.NetNS, "netns", "", "")
	flag.StringVar(&runtime.IfName, "ifname", "", "")
	flag.Parse()

	for _, pair := range flag.Args() {
		key, value, _ := strings.Cut(pair, "=")
		runtime.Args = append(runtime.Args, [2]string{key, value})
	}
	network, err := libcni.ConfListFromFile(*conflist)
	if err == nil {
		err = json.Unmarshal([]byte(*capabilities), &runtime.CapabilityArgs)
	}
	if err == nil {
		cni := libcni.NewCNIConfigWithCacheDir([]string{*plugins}, *cache, nil)
		err = call(cni, *command, network, runtime)
	}
	if err != nil {
		report(err)
		os.Exit(1)
	}
}

func call(cni *libcni.CNIConfig, command string, network *libcni.NetworkConfigList, runtime *libcni.RuntimeConf) error {
	var result types.Result
	var err error

	ctx := context.Background()
	switch command {
	case "add":
		result, err = cni.AddNetworkList(ctx, network, runtime)
	case "cached":
		result, err = cni.GetNetworkListCachedResult(network, runtime)
	case "check":
		err = cni.CheckNetworkList(ctx, network, runtime)
	case "del":
		err = cni.DelNetworkList(ctx, network, runtime)
	case "validate":
		_, err = cni.ValidateNetworkList(ctx, network)
	default:
		err = fmt.Errorf("command %q is unknown", command)
	}
	if err == nil && result != nil {
		err = result.Print()
	}
	return err
}

// A plugin's own error keeps its number.
func report(err error) {
	answer := &types.Error{Msg: err.Error()}
	errors.As(err, &answer)
	json.NewEncoder(os.Stderr).Encode(answer)
}
