#!/bin/bash
# SLURM on this machine alone, in folder $1: munge, a controller and one node. Needs root and Debian's slurm-wlm.
set -e
mkdir -p "$1" /run/munge && cd "$1"
chown munge: /run/munge
pgrep -x munged > /dev/null || runuser -u munge -- munged
cat > slurm.conf <<END
ClusterName=test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmctldPort=6917
SlurmdPort=6918
AuthType=auth/munge
StateSaveLocation=$PWD/state
SlurmdSpoolDir=$PWD/spool
SlurmctldPidFile=$PWD/slurmctld.pid
SlurmdPidFile=$PWD/slurmd.pid
SlurmctldLogFile=$PWD/slurmctld.log
SlurmdLogFile=$PWD/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
KillWait=30
MinJobAge=300
PriorityType=priority/basic
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(nproc --all) State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
export SLURM_CONF=$PWD/slurm.conf
slurmctld
slurmd
for _ in $(seq 50); do sinfo -h -o %t 2> /dev/null | grep -q idle && exit; sleep 0.2; done
sinfo; exit 1
