"""The risk daemon seen from other processes: permits, and the operator's requests."""

from cryptoquantix.risk_client.permit import PermitClient

__all__ = ["PermitClient"]
