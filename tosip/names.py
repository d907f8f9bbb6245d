"""Every PV name is composed here, from the name that the Python code declares.

A port's prefix is `$(P)$(R)`, for example `NEOSTED:FOCUS01:`. A declared name in snake_case becomes
PascalCase behind it; what can only be read ends in `_RBV`, as areaDetector's users expect.
"""

from __future__ import annotations

import re

# Attributes of a frame: how many of its pixels are undefined, and the value that they have.
UNDEFINED_PIXELS = "UndefinedPixels"
UNDEFINED_VALUE = "UndefinedValue"

DECLARED = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

# EPICS allows 60 characters in a record name; 28 leave room for a prefix of 28 and for `_RBV`.
LONGEST_NAME = 28
LONGEST_RECORD = 60

# What every plugin serves beside its declared values. A declaration may not take these names.
_SERVED = """
    ADCoreVersion Acquire AcquireBusy AcquireBusyCB Apply ArrayCallbacks ArrayCounter ArrayRate
    ArraySize ArraySize0 ArraySize1 ArraySize2 ArraySize3 ArraySize4 ArraySize5 ArraySize6
    ArraySize7 ArraySize8 ArraySize9 ArraySizeX ArraySizeY ArraySizeZ AsynIO AutoReload BayerPattern
    BlockingCallbacks BundleCount BusyTime ClearAcquireBusy CodeHash Codec ColorMode CompressedSize
    CpuShare DataType Dim0SA Dim1SA Dim2SA Dim3SA Dim4SA Dim5SA Dim6SA Dim7SA Dim8SA Dim9SA
    Dimensions DisorderedArrays DriverVersion DroppedArrays DroppedOutputArrays EmptyFreeList
    EnableCallbacks EpicsTSNsec EpicsTSSec ExecutionTime FailedArrays FirmwareVersion Image
    LastBundle LastExit LastOutput Latency Manufacturer MaxAge MaxArrayRate MaxByteRate MaxThreads
    Message MinCallbackTime Model NDArrayAddress NDArrayPort NDAttributesFile NDAttributesMacros
    NDAttributesMessage NDAttributesStatus NDimensions NumPreAllocBuffers NumQueuedArrays NumThreads
    PVI PluginType PoolAllocBuffers PoolFreeBuffers PoolMaxMem PoolPollStats PoolUsedBuffers
    PoolUsedMem PortName PreAllocBuffers Preview ProcessPlugin ProcessTimeout ProcessedArrays
    QueueFree QueueFreeAgain QueueFreeLow QueueSize QueueUse QueueUseHIGH QueueUseHIHI Rearm
    ReceivedArrays Reload ReloadStatus ResidentMemory RestartCount RestartRequired SDKVersion
    SerialNumber SetAcquireBusy SortFree SortFreeAgain SortFreeLow SortMode SortSize SortTime
    StageChanges StagedChanges StateStatus Status TimeStamp UniqueId WaitForPlugins WorkerPid
    WorkerState WriteMessage
"""
RESERVED = frozenset(_SERVED.split())


def pascal_case(name: str) -> str:
    """Turn a declared name into its PV's: `fwhm_x` becomes `FwhmX`."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def snake_case(name: str) -> str:
    """Turn a PV's name into Python's: `NDArrayPort` becomes `nd_array_port`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return words.lower()


def demand(prefix: str, name: str) -> str:
    """Compose the PV that an operator writes for the declared `name`."""
    return prefix + pascal_case(name)


def readback(prefix: str, name: str) -> str:
    """Compose the PV that shows the declared `name`."""
    return demand(prefix, name) + "_RBV"
