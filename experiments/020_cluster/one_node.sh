#!/bin/bash
# A SLURM cluster of this one machine, as root: partitions `low` (preempted after 15 s of grace, requeued) and `high`.
#
#     apt-get install --no-install-recommends slurmctld slurmd slurm-client munge
#     experiments/020_cluster/one_node.sh start FOLDER     # state and logs; writes /etc/slurm/slurm.conf
#     experiments/020_cluster/one_node.sh stop FOLDER
set -eu
mode=$1 folder=$(realpath -m "$2")
if [ "$mode" = stop ]; then
    for pid in "$folder"/slurmd.pid "$folder"/slurmctld.pid /run/munge/munged.pid; do
        if [ -f "$pid" ]; then kill "$(cat "$pid")"; fi
    done
    exit
fi
mkdir -p "$folder"/{state,spool} /run/munge
chown munge: /run/munge
host=$(hostname -s)
cat > /etc/slurm/slurm.conf <<END
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
# no control groups, no accounting: a container has neither
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SchedulerParameters=bf_interval=5
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# a requeued job waits so long, instead of two minutes
AuthInfo=cred_expire=10
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=low Nodes=$host Default=YES State=UP PriorityTier=1 GraceTime=15
PartitionName=high Nodes=$host State=UP PriorityTier=10 PreemptMode=OFF
END
runuser -u munge -- munged
slurmctld
slurmd
sleep 3
sinfo
