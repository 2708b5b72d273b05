"""SystemdWebMonitor: what a dashboard shows, as the old manager gave it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Dict, Optional

from .manager import ServiceState, SystemdManager


class SystemdWebMonitor:
    """Gives a dashboard its data. ``socketio`` is a flask_socketio.SocketIO, or has its emit."""

    def __init__(self, manager: SystemdManager, socketio: Optional[Any] = None) -> None:
        self.manager = manager
        self.socketio = socketio

    def get_dashboard_data(self) -> Dict[str, Any]:
        """All experiments as in ExperimentStatus.to_dict, and sums over them, for JSON."""
        statuses = self.manager.get_all_statuses()
        running = sum(s.state is ServiceState.ACTIVE for s in statuses.values())
        return {
            "timestamp": datetime.now().isoformat(),
            "experiments": {id: status.to_dict() for id, status in statuses.items()},
            "summary": {
                "total_experiments": len(statuses),
                "running": running,
                "stopped": len(statuses) - running,
                "total_memory_mb": sum(s.memory_current_mb or 0 for s in statuses.values()),
            },
        }

    def emit_status_update(self, experiment_id: str) -> None:
        """Sends the status of an experiment to all browsers, as event experiment_status."""
        if self.socketio is None:
            return
        status = self.manager.get_status(experiment_id)
        if status is not None:
            self.socketio.emit(
                "experiment_status", {"experiment_id": experiment_id, "status": status.to_dict()}
            )
