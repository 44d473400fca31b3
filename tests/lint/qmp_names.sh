#!/usr/bin/env bash
# A QMP command is one function in qmp/ops_*.c; nobody else spells command names. The control socket's table of what
# it passes on, the plan's qmp steps and the agent client name theirs as data.
set -euo pipefail
cd "$(dirname "$0")/../.."
! git grep -nE 'qmp_client_call(_wait)?\([^,]*, *"' -- '*.c' ':!qmp/ops_*.c' ':!qmp/qmp_client.c' ':!tests/' ':!launcher/live/control_client.c'
